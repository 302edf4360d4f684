"""A user's files: what is read, kept, and refused."""

import numpy as np
import pytest

from hrm_jax.planning.forecast import learned
from hrm_jax.planning.forecast.estimates import EstimateConfig
from hrm_jax.planning.forecast.tables import TableError
from tests.hrm_jax.planning.forecast import made

CONFIG = EstimateConfig(trees=10, fits=2)


def write_history(path, count=120):
    """Writes a history; returns its sizes."""
    issues, sizes = made.issues(count)
    rows = [f"{k},{t},{s:g},Bug" for k, t, s in zip(issues.keys, issues.titles, sizes, strict=True)]
    path.write_text("\n".join(["key,title,size,type", *rows]) + "\n")
    return sizes


def test_what_was_kept_gives_the_same_numbers(tmp_path):
    history, folder = tmp_path / "past.csv", tmp_path / "learned"
    write_history(history)
    issues, sizes = learned.read_history(history)
    found = learned.learn(issues, sizes, CONFIG)
    learned.save(folder, history, found)
    again = learned.load(folder)
    new = made.issues(5, seed=3)[0]
    np.testing.assert_array_equal(found.model(new).weights, again.model(new).weights)
    assert again.error == found.error < found.usual_error
    assert sorted(p.name for p in folder.iterdir()) == ["estimates.json", "history.csv"]
    (folder / "history.csv").write_text("key,title,size\n")
    with pytest.raises(learned.LearnedFolderError, match="fit again"):
        learned.load(folder)
    (folder / "estimates.json").write_text("{}")
    with pytest.raises(learned.LearnedFolderError, match="name the folder that it wrote"):
        learned.load(folder)


def test_no_folder_is_told(tmp_path):
    with pytest.raises(learned.LearnedFolderError, match="--mode=fit"):
        learned.load(tmp_path / "nowhere")


def test_dates_order_a_history(tmp_path):
    path = tmp_path / "past.csv"
    path.write_text("key,title,size,finished\na,x,1,2020-02-01\nb,y,2,2020-01-01\n")
    issues, sizes = learned.read_history(path)
    assert issues.keys == ["b", "a"]
    np.testing.assert_array_equal(sizes, [2, 1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,x,0,2020-01-01", "line 2: size: expected a number above 0, got '0'"),
        ("a,x,1,1.2.2020", "line 2: finished: expected a date such as 2015-03-31"),
        ("a,x,1,", "line 2: finished: expected a date"),
        ("a,x,1,2020-01-01\na,y,1,2020-01-01", "line 3: key: expected a key of its own, got 'a'"),
        (",x,1,2020-01-01", "line 2: key: expected a key of its own"),
    ],
)
def test_bad_histories_are_told(tmp_path, rows, message):
    path = tmp_path / "past.csv"
    path.write_text(f"key,title,size,finished\n{rows}\n")
    with pytest.raises(TableError, match=message):
        learned.read_history(path)


def test_tasks_become_a_schedule(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("key,title,after,people,due\na,x,,ann,\nb,y,a,,3\nc,z,a b,ann bob,\n")
    table, issues = learned.read_tasks(path)
    schedule = learned.schedule_of(table, ["ann", "bob"])
    assert schedule.after == [[], [0], [0, 1]]
    assert schedule.people == [[0], [0, 1], [0, 1]]
    assert learned.due_times(table) == {1: 3.0}
    assert issues.keys == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,x,b,,", "line 2: after: expected keys of tasks in rows above, got 'b'"),
        ("a,x,,eve,", "line 2: people: expected some of ann, bob, got 'eve'"),
    ],
)
def test_tasks_that_do_not_fit_are_told(tmp_path, row, message):
    path = tmp_path / "new.csv"
    path.write_text(f"key,title,after,people,due\n{row}\nb,y,,,soon\n")
    table, _ = learned.read_tasks(path)
    with pytest.raises(TableError, match=message):
        learned.schedule_of(table, ["ann", "bob"])
    with pytest.raises(TableError, match="line 3: due: expected a number in the unit of sizes"):
        learned.due_times(table)
