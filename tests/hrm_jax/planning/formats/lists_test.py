"""Lists in cells, with names that hold what parts others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.dispatching import Dispatch
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.lists import join, join_need, split, split_need, split_written
from hrm_jax.planning.formats.plans import read_plan_csv, write_csv
from hrm_jax.planning.formats.rows import make_instance
from hrm_jax.planning.formats.table_files import (
    read_csv,
    read_yaml,
    write_people_csv,
    write_tasks_csv,
    write_yaml,
)
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.plan import Budget

ODD = st.text(st.sampled_from(";,+:\"'@#| \nab1é"), min_size=1, max_size=6)
NAMES = ODD.filter(lambda name: name == name.strip() and not name.startswith("# "))


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES, max_size=4))
def test_lists_come_back(items):
    assert split(join(items)) == items


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES, max_size=3), st.integers(1, 12))
def test_needs_come_back_from_within_a_list(skills, count):
    (written,) = split_written(join_need(skills, count))
    assert split_need(written) == (skills, count)


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=4, max_size=4, unique=True), NAMES)
def test_files_give_back_any_names(names, skill):
    first, second, ann, bob = names
    people = (Person(ann, (skill, "C++")), Person(bob, (skill,)))
    tasks = (
        Task(first, 1, (Need(("C++", skill)),), people=(ann,)),
        Task(second, 2, (Need((skill,)),), after=(first,), forbidden=(ann,)),
    )
    instance = Instance(tasks, people)
    rows = read_csv(write_tasks_csv(instance), "t"), read_csv(write_people_csv(instance), "p")
    assert make_instance(*rows, None, name=instance.name) == instance
    assert make_instance(*read_yaml(write_yaml(instance), "y")) == instance
    plan = Dispatch().plan(instance, Budget(iterations=1))
    again = read_plan_csv(write_csv(instance, plan), "c", instance)
    assert again.assignments == plan.assignments


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("python+sql", (["python", "sql"], 1)),
        ("python + sql : 2", (["python", "sql"], 2)),
        ("C++", (["C++"], 1)),
        ("C++:3", (["C++"], 3)),
        ("C+++python", (["C++", "python"], 1)),
        ('"lang:go"+"a+b"', (["lang:go", "a+b"], 1)),
        ("anybody:2", ([], 2)),
        ("python:0", None),
        ("python:x", None),
        ("+python", None),
        (":2", None),
    ],
)
def test_what_a_need_is(text, found):
    assert split_need(text) == found


def test_an_open_quote_and_a_name_that_no_file_can_hold_are_told():
    with pytest.raises(FormatError, match="open quote"):
        split('ada; "Doe, Jane')
    rows = read_csv('id,estimate,people\nx,1,"""Doe"\n', "t.csv")
    with pytest.raises(FormatError, match=r"t.csv, line 2: people: .*close the quote"):
        make_instance(rows, [], None)
    rows = read_csv("id,estimate,skills\nx,1,a:b\n", "t.csv")
    with pytest.raises(FormatError, match=r"t.csv, line 2: skills: .*write python\+sql"):
        make_instance(rows, [], None)
    for name in ("# 1", " a"):
        with pytest.raises(FormatError, match="expected no blanks around it"):
            write_tasks_csv(Instance((Task(name, 1),)))
