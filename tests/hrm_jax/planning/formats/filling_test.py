import json

from hrm_jax.planning.formats.filling import Guess, fill_estimates
from hrm_jax.planning.formats.github import read_github
from hrm_jax.planning.formats.rows import Row, make_instance
from hrm_jax.planning.workdays import Workdays
from tests.hrm_jax.planning.formats.files_test import DAYS, GITHUB


def row(name, estimate="", status=""):
    return Row("f", {"id": name, "title": name, "estimate": estimate, "status": status})


def estimates(rows):
    return [one.fields["estimate"] for one in rows]


def test_the_median_of_all_others_or_a_day_is_taken_and_marked():
    rows = [row("a", "2"), row("b", "4h"), row("c"), row("d", "3d", "done"), row("e", "", "done")]
    filled = fill_estimates(rows)
    assert estimates(filled) == ["2", "4h", "16h", "3d", ""]
    assert [one.estimated for one in filled] == [False, False, True, False, False]
    assert estimates(fill_estimates([row("a")])) == ["8h"]


def test_days_have_the_hours_of_the_calendar():
    rows = [row("a", "3"), row("b", "3"), row("c", "12h"), row("d")]
    assert estimates(fill_estimates(rows, hours_per_day=6)) == ["3", "3", "12h", "18h"]
    six = Workdays(start="2026-01-05", hours_per_day=6.0)
    filled = make_instance(fill_estimates(rows, hours_per_day=6), [], six).tasks
    assert [task.duration for task in filled] == [24, 24, 16, 24]
    asked = []
    rows = [row("a", "3h", "done"), row("b")]
    guessed = fill_estimates(
        rows, lambda known, days, missing: asked.append(days) or [Guess(2, 1, 4)], hours_per_day=6
    )
    assert asked == [[0.5]]
    assert [guessed[1].fields[name] for name in ("low", "estimate", "high")] == ["6h", "12h", "24h"]
    exported = read_github(json.dumps(GITHUB), "g.json", hours_per_day=6)
    assert estimates(exported) == ["2", "12h", ""]


def test_an_estimator_gets_done_tasks_in_the_order_of_their_numbers():
    asked = []

    def estimate(known, days, missing):
        names = [one.fields["id"] for one in known], [one.fields["id"] for one in missing]
        asked.append((*names, days))
        return [Guess(3, 1, 5)] * len(missing)

    rows = [row("#10", "1", "done"), row("#9", "4h", "done"), row("#8", "1"), row("#11")]
    filled = fill_estimates(rows, estimate)
    assert asked == [(["#9", "#10"], ["#11"], [0.5, 1.0])]
    (task,) = [t for t in make_instance(filled, [], DAYS).tasks if t.estimated]
    assert (task.low, task.duration, task.high) == (8, 24, 40)


def test_an_estimator_that_cannot_say_leaves_the_median():
    rows = read_github(json.dumps(GITHUB), "g.json", lambda *known: None)
    assert estimates(rows) == ["2", "16h", ""]
    assert rows[1].estimated
