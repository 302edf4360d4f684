import contextlib
import datetime
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.errors import UserError
from hrm_jax.planning.dispatching import Dispatch
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.github import read_github
from hrm_jax.planning.formats.jira import read_jira
from hrm_jax.planning.formats.mspsp import read_dzn, write_dzn
from hrm_jax.planning.formats.plans import WRITERS, read_plan_csv, read_plan_json
from hrm_jax.planning.formats.psplib import read_sm
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
from hrm_jax.planning.workdays import Workdays
from tests.hrm_jax.planning.drawn import instances

DZN = """% a comment
nActs = 3; dur = [0, 4,2];
nSkills = 2;
sreq = [| 0,0, | 1,0,
  | 1,2, |];
nResources = 3;
mastery = [| true,false, | false,true, | true,true, |];
pred = [1,2]; succ = [2,3];
"""
SM = """jobs (incl. supersource/sink ):  3
PRECEDENCE RELATIONS:
jobnr.    #modes  #successors   successors
   1        1          1           2
   2        1          1           3
   3        1          0
****
REQUESTS/DURATIONS:
jobnr. mode duration  R 1  R 2
------
  1      1     0       0    0
  2      1     8       4    1
  3      1     0       0    0
****
RESOURCEAVAILABILITIES:
  R 1  R 2
    5    2
****
"""
GITHUB = [
    {
        "number": 1,
        "title": "Tables",
        "labels": [{"name": "skill:sql"}, {"name": "skill:python"}, {"name": "estimate:2"}],
        "assignees": [{"login": "ada"}],
        "milestone": {"dueOn": "2026-01-16T00:00:00Z"},
        "state": "OPEN",
        "body": None,
    },
    {
        "number": 2,
        "title": "Page",
        "labels": [{"name": "skill:web*2"}],
        "body": "Blocked by #1, #3 and #77",
    },
    {"number": 3, "title": "Old", "state": "CLOSED", "labels": []},
]
JIRA = """Issue key,Summary,Status,Labels,Labels,Due date,Original Estimate,\
Inward issue link (Blocks)
K-1,First,To Do,skill:a,skill:b,30/Jan/26 12:00 AM,14400,
K-2,"Second, later",To Do,skill:a,,,,K-1
"""
DAYS = Workdays(start="2026-01-05")


@settings(max_examples=40, deadline=None)
@given(instances(calendars=True))
def test_csv_and_yaml_give_back_what_was_written(instance):
    tasks = read_csv(write_tasks_csv(instance), "t.csv")
    people = read_csv(write_people_csv(instance), "p.csv")
    assert make_instance(tasks, people, instance.days) == instance
    assert make_instance(*read_yaml(write_yaml(instance), "i.yaml")) == instance


@settings(max_examples=30, deadline=None)
@given(instances(calendars=False))
def test_dzn_gives_back_what_was_written(instance):
    again = read_dzn(write_dzn(instance), "i.dzn")
    assert [task.duration for task in again.tasks] == [task.duration for task in instance.tasks]
    assert [task.team_size for task in again.tasks] == [task.team_size for task in instance.tasks]
    assert read_dzn(write_dzn(again), "i.dzn") == again


@pytest.mark.parametrize(("ticks", "hours"), [(6, 8.0), (1440, 8.0), (7, 7.5), (1440, 0.01)])
def test_estimates_of_ticks_that_are_no_whole_hours_come_back(ticks, hours):
    days = Workdays(start="2026-01-05", ticks_per_day=ticks, hours_per_day=hours)
    durations = (1, 2, 3, 100, 12345, 999_983)
    tasks = tuple(Task(f"t{duration}", duration, (Need(()),)) for duration in durations)
    instance = Instance(tasks, (Person("ada"),), days)
    found = make_instance(read_csv(write_tasks_csv(instance), "t.csv"), [], days)
    assert [task.duration for task in found.tasks] == list(durations)


def test_seconds_of_jira_are_as_many_ticks():
    days = Workdays(start="2026-01-05", ticks_per_day=24, hours_per_day=8)
    # An hour and two thirds, in ticks of 20 minutes.
    rows = read_jira("Issue key,Summary,Original Estimate\nK-1,First,6000\n", "j.csv")
    found = make_instance(rows, read_csv("id\nada\n", "p.csv"), days)
    assert found.tasks[0].duration == 5


def test_dzn_means_what_it_says():
    instance = read_dzn(DZN, "x.dzn")
    assert [task.duration for task in instance.tasks] == [0, 4, 2]
    assert instance.tasks[2].needs == (Need(("s1",)), Need(("s2",), 2))
    assert instance.tasks[2].after == ("2",)
    assert instance.people[2].skills == ("s1", "s2")


def test_a_dzn_without_its_number_of_skills_is_told():
    with pytest.raises(FormatError, match=r"x.dzn: sreq"):
        read_dzn(DZN.replace("nSkills = 2", "nSkills = "), "x.dzn")


def test_sm_makes_people_of_units():
    instance = read_sm(SM, "x.sm")
    assert [person.id for person in instance.people][-2:] == ["R2.1", "R2.2"]
    assert len(instance.people) == 7
    assert instance.tasks[1].needs == (Need(("R1",), 4), Need(("R2",)))
    assert instance.tasks[2].after == ("2",)


def test_github_labels_bodies_and_milestones_are_read():
    rows = read_github(json.dumps(GITHUB), "g.json")
    people = read_csv("id,skills\nada,sql;python\nben,web\ncem,web\n", "p.csv")
    instance = make_instance(rows, people, DAYS)
    first, second = instance.tasks
    assert first.needs == (Need(("sql", "python")),)
    assert (first.duration, first.people, first.due) == (16, ("ada",), 80)
    assert second.needs == (Need(("web",), 2),)
    assert second.after == ("#1",)  # #3 is closed, #77 of elsewhere
    assert (second.duration, second.estimated, first.estimated) == (16, True, False)


def test_jira_repeats_columns():
    rows = read_jira(JIRA, "j.csv")
    people = read_csv("id,skills\nada,a;b\n", "p.csv")
    first, second = make_instance(rows, people, DAYS).tasks
    assert (first.id, first.duration, first.due) == ("K-1", 4, 160)
    assert first.needs == (Need(("a", "b")),)
    assert (second.title, second.after, second.estimated) == ("Second, later", ("K-1",), True)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("id,estimate\nx,soon\n", r"t.csv, line 2: estimate: expected working days.*'soon'.*6h"),
        ("id,estimate,due\nx,1,30.01.2026\n", r"line 2: due: expected a date.*year-month-day"),
        ("id,estimate,due\nx,1,9999-01-01\n", r"line 2: due: .*30 years"),
        ("id,estimate,skill\nx,1,a\n", r"line 2: expected columns id,.*'skill'"),
        ("id,estimate\nx,1\nx,2\n", r"line \d: .*each id once.*'x'"),
        ("id,estimate,after\nx,1,y\ny,1,x\n", r"without a cycle.*x -> y -> x"),
        ("id,estimate,after\nx,1,z\n", r"line 2: .*expected the id of a task, got 'z'"),
        ("id,estimate\nx,1,2\n", r"line 2: expected 2 fields, got 3; put what holds"),
        ("id,estimate,people\nx,1,eve\n", r"line 2: .*person of the team, got 'eve'"),
        (
            "id,estimate,people,forbidden\nx,1,ada,ada\n",
            r"line 2: .*forbidden: expected nobody who is to do it.*ada",
        ),
        ("", r"t.csv: expected a line of different column names"),
        ('id,estimate\n"x,1\n', r"t.csv: expected CSV"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_remedy(tasks, message):
    people = read_csv("id,skills\nada,a\n", "p.csv")
    with pytest.raises(FormatError, match=message):
        make_instance(read_csv(tasks, "t.csv"), people, DAYS)


def test_yaml_is_read_as_it_is_written():
    text = "{start: 2026-01-05, day_starts: %s, hours_per_day: 7.5}"
    for written, read in (("10:00", "10:00"), ("09:30", "09:30"), ("12:30:15", "12:30:15")):
        _, _, days = read_yaml(f"calendar: {text % written}", "y.yaml")
        assert (days.start, days.day_starts, days.hours_per_day) == ("2026-01-05", read, 7.5)
    (row,), _, _ = read_yaml("tasks: [{id: 010, title: 10:30, estimate: 0.50, skills: ~}]", "y")
    assert row.fields == {"id": "010", "title": "10:30", "estimate": "0.50", "skills": ""}


@pytest.mark.parametrize(
    ("absences", "ticks"),
    [
        ("20260202..2026-02-06", ((160, 200),)),
        ("2026-02-02..20260206", ((160, 200),)),
        ("2026-02-02 .. 2026-02-06", ((160, 200),)),
        ("2026-02-02; 2026-02-04", ((160, 168), (176, 184))),
        ("@8..2026-02-02", ((8, 168),)),
        ("2026-02-02..@170", ((160, 170),)),
        ("2026-02-07..2026-02-08", ()),  # a weekend
        ("@200..2026-02-08", ()),
    ],
)
def test_absences(absences, ticks):
    people = read_csv(f"id,absences\nada,{absences}\n", "p.csv")
    assert make_instance([], people, DAYS).people[0].absences == ticks


@pytest.mark.parametrize(
    "absences",
    [
        *("2026-02-06..20260202", "20260206..2026-02-02", "2026-02-08..2026-02-07"),
        *("@170..2026-02-02", "2026-02-02..@160", "@9..@8"),
    ],
)
def test_absences_that_are_turned_round(absences):
    people = read_csv(f"id,absences\nada,{absences}\n", "p.csv")
    with pytest.raises(FormatError, match=r"p.csv, line 2: absences: expected (the earl|ranges)"):
        make_instance([], people, DAYS)


def test_ends_are_found_without_reading_the_instance_again(monkeypatch):
    tasks = read_csv("id,estimate\n" + "".join(f"t{n},1\n" for n in range(20)), "t.csv")
    instance = make_instance(tasks, read_csv("id\nada\n", "p.csv"), DAYS)
    text = "task,start,people\n" + "".join(f"t{n},@{8 * n},ada\n" for n in range(20))
    hashed = []
    monkeypatch.setattr(Instance, "__hash__", lambda self: hashed.append(1) or 7)
    plan = read_plan_csv(text, "p.csv", instance)
    assert [one.end for one in plan.assignments] == [8 * n + 8 for n in range(20)]
    assert len(hashed) <= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("calendar: {start: 2026-01-05, day_starts: 9:00}", r"day_starts: .*got '9:00'.*09:00"),
        ("tasks: {}", r"y.yaml, line 1: expected a list"),
        ("tasks:\n- id: a\n  estimate: {b: 1}\n", r"line 2: expected a text"),
        ("teams: []\n", r"line 1: expected calendar, people, tasks, got 'teams'"),
        ("a: [", r"y.yaml: expected YAML"),
        ("calendar: {start: soon}", r"line 1: calendar: start: expected a date"),
        ("- 1", r"y.yaml: expected calendar"),
    ],
)
def test_bad_yaml_is_named(text, message):
    with pytest.raises(FormatError, match=message):
        read_yaml(text, "y.yaml")


@settings(max_examples=20, deadline=None)
@given(instances())
def test_plans_come_back_and_all_formats_are_written(instance):
    plan = Dispatch().plan(instance, Budget(iterations=1))
    written = {suffix: write(instance, plan) for suffix, write in WRITERS.items()}
    assert read_plan_json(written[".json"], "p.json") == plan
    assert read_plan_csv(written[".csv"], "p.csv", instance).assignments == plan.assignments
    assert written[".mmd"].startswith("gantt\n")
    assert written[".ics"].count("BEGIN:VEVENT") == len(instance.tasks)
    assert written[".md"].count("\n") == len(instance.tasks) + 2


def test_a_plan_by_hand_may_leave_ends_out():
    text = "task,start,people\nx,2026-01-06,ada\n"
    people = read_csv("id,skills,capacity\nada,a,50\n", "p.csv")
    instance = make_instance(read_csv("id,estimate\nx,1\n", "t.csv"), people, DAYS)
    (one,) = read_plan_csv(text, "p.csv", instance).assignments
    assert (one.start, one.end) == (8, 24)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["dzn", "sm", "json", "jira", "csv", "yaml", "plan"]), st.data())
def test_damaged_files_end_in_messages(kind, data):
    people = "id,skills\nada,a\n"
    whole = {
        "dzn": (DZN, lambda text: read_dzn(text, "f")),
        "sm": (SM, lambda text: read_sm(text, "f")),
        "json": (json.dumps(GITHUB), lambda text: _planned(read_github(text, "f"), people)),
        "jira": (JIRA, lambda text: _planned(read_jira(text, "f"), people)),
        "csv": (
            "id,estimate,after\nx,1,\ny,2d,x\n",
            lambda text: _planned(read_csv(text, "f"), people),
        ),
        "yaml": (
            "calendar: {start: 2026-01-05}\npeople:\n- {id: a, skills: [b]}\n"
            "tasks:\n- {id: x, estimate: 1}\n",
            lambda text: make_instance(*read_yaml(text, "f")),
        ),
        "plan": (
            '{"assignments": [{"task": "x", "start": 0, "end": 1, "people": ["a"]}]}',
            lambda text: read_plan_json(text, "f"),
        ),
    }
    text, read = whole[kind]
    read(text) if kind not in ("json", "jira") else None
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(len(text), first + 12)))
    added = data.draw(st.text("0-9,;:@#[]{}|\"'\n\0 aé.", max_size=4))
    # Any other error is a traceback.
    with contextlib.suppress(UserError):
        read(text[:first] + added + text[last:])


def _planned(rows, people) -> Instance:
    return make_instance(rows, read_csv(people, "p.csv"), DAYS)


def test_dates_skip_nights_weekends_and_holidays():
    days = Workdays(start="2026-01-09", holidays=("2026-01-12",))  # a Friday
    assert days.moment(8) == datetime.datetime(2026, 1, 13, 9)
    assert days.end_moment(8) == datetime.datetime(2026, 1, 9, 17)
    assert days.first_tick(datetime.date(2026, 1, 10)) == 8
    assert (
        days.end_tick(datetime.date(2026, 1, 9)) == days.end_tick(datetime.date(2026, 1, 12)) == 8
    )
    assert days.first_tick(datetime.date(2020, 1, 1)) == 0
    assert [days.weekday_index(tick) for tick in (0, 8, 16)] == [4, 1, 2]
