import pytest

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Dispatch
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.proposals import accept, propose, write_proposals
from hrm_jax.planning.formats.rows import make_instance
from hrm_jax.planning.formats.table_files import read_csv
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.stories import split_by_rules
from tests.hrm_jax.planning.formats.files_test import DAYS

BACKLOG = """id,title,estimate,skills,after,due,started
base,Tables,1,python,,,
s1,"As a clerk, I want to add and remove orders so that they are right",2,python,base,2026-01-30,
s2,As a clerk I want to see and print orders,1d,C++,,,
s3,As a clerk I want to see and print orders,1d,python,,,2026-01-05
next,Page,1,python,s1,,
"""
PEOPLE = "id,skills\nada,python; C++\nben,python\n"


def rows():
    return read_csv(BACKLOG.replace(",2026-01-05\n", ",\n"), "b.csv")


def proposals():
    made = propose(rows(), lambda story, skills: (split_by_rules(story, skills), "rules"))
    return write_proposals(made)


def test_stories_are_proposed_in_a_file_and_marked():
    made = read_csv(proposals(), "p.csv")
    assert [row.fields["id"] for row in made] == [
        *("s1.1", "s1.2", "s1.3", "s2.1", "s2.2", "s3.1", "s3.2")
    ]
    assert {(row.fields["status"], row.fields["by"]) for row in made} == {("proposed", "rules")}
    first, *_, last = made[:3]
    assert (first.fields["title"], first.fields["estimate"]) == ("Add orders", "7.2h")
    assert (last.fields["title"], last.fields["after"]) == (
        "Check that they are right",
        "s1.1; s1.2",
    )
    assert made[3].fields["skills"] == "C++"


def test_a_day_has_the_hours_of_the_calendar():
    def whole(story, skills):
        return split_by_rules(story, skills), "rules"

    eight, four = (
        [float(row["estimate"].rstrip("h")) for row in propose(rows(), whole, hours_per_day=hours)]
        for hours in (8, 4)
    )
    assert eight == pytest.approx([2 * hours for hours in four], abs=0.11)


def test_what_has_begun_is_left_whole():
    begun = propose(
        read_csv(BACKLOG, "b.csv"), lambda story, skills: (split_by_rules(story, ()), "")
    )
    assert {row["story"] for row in begun} == {"s1", "s2"}


def test_accepted_tasks_are_planned_and_the_story_ends_with_them():
    text = proposals().replace("s1,proposed", "s1,accepted")
    instance = make_instance(accept(rows(), text, "p.csv"), read_csv(PEOPLE, "t"), DAYS)
    tasks = {task.id: task for task in instance.tasks}
    assert set(tasks) == {"base", "s1.1", "s1.2", "s1.3", "s1", "s2", "s3", "next"}
    assert tasks["s1.1"].after == ("base",)
    assert tasks["s1.3"].after == ("base", "s1.1", "s1.2")
    assert (tasks["s1"].duration, tasks["s1"].needs) == (0, ())
    assert tasks["s1"].after == ("base", "s1.1", "s1.2", "s1.3")
    assert tasks["s1"].due == 160
    assert tasks["next"].after == ("s1",)
    assert check_plan(instance, Dispatch().plan(instance, Budget(iterations=1))) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((), r"p.csv: expected tasks with the status accepted, got none"),
        ((("proposed,rules,s1.1", "accepted,rules,s1.1"),), r"line 4: status: .*all tasks of s1"),
        ((("s1,proposed", "s9,accepted"),), r"line 3: story: expected the id of a task.*'s9'"),
        ((("proposed", "perhaps"),), r"line 3: status: expected accepted or proposed"),
    ],
)
def test_nothing_is_taken_over_that_no_person_accepted(changes, message):
    text = proposals()
    for old, new in changes:
        text = text.replace(old, new)
    with pytest.raises(FormatError, match=message):
        accept(rows(), text, "p.csv")
