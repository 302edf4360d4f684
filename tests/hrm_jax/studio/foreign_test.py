import math
import time

import pytest
import tensorboardX

from hrm_jax.studio.folders import Runs
from hrm_jax.studio.foreign import ForeignLogs
from hrm_jax.studio.watching import Watching


def write_events(folder, steps, name="loss", **options):
    with tensorboardX.SummaryWriter(str(folder), **options) as writer:
        for step in steps:
            writer.add_scalar(name, 1.0 / (step + 1), step, walltime=1e9 + step)


def read(logs):
    return logs.read(time.monotonic() + 5)


def test_event_files_and_csv_of_a_folder_are_one_run(tmp_path):
    write_events(tmp_path / "runs" / "other", range(5))
    folder = tmp_path / "runs" / "other"
    (folder / "eval.csv").write_text("step,accuracy\n4,0.5\n")
    watched = Watching(Runs(tmp_path / "runs"), {}).get("other")
    summary = watched.summary()
    assert summary["latest"] == {"eval/accuracy": 0.5, "scalars/loss": pytest.approx(0.2)}
    assert (summary["step"], summary["updated"], summary["experiment"]) == (4, 1e9 + 4, "")
    curves, share = watched.read_curves()
    assert share == 1
    assert curves.by_name["scalars/loss"].points().steps.tolist() == [0, 1, 2, 3, 4]


def test_our_own_event_files_are_not_read_twice(tmp_path, write_run, runs):
    folder = write_run("a", [{"step": 1, "loss": 1.0}])
    write_events(folder, range(5))
    watched = Watching(runs, {}).get("a")
    assert not watched.is_foreign
    assert sorted(watched.read_curves()[0].by_name) == ["train/loss"]


def test_a_run_that_goes_back_replaces_what_came_after(tmp_path):
    write_events(tmp_path, range(6), filename_suffix=".1")
    logs = ForeignLogs(tmp_path)
    read(logs)
    assert logs.generation == 0
    write_events(tmp_path, range(3, 5), filename_suffix=".2", purge_step=3)
    read(logs)
    assert logs.generation == 1
    assert logs.curves.by_name["scalars/loss"].points().steps.tolist() == [0, 1, 2, 3, 4]
    write_events(tmp_path, [2], filename_suffix=".3")  # which says nothing of it
    read(logs)
    assert logs.generation == 2
    assert logs.curves.by_name["scalars/loss"].points().steps.tolist() == [0, 1, 2]


def test_links_and_pipes_are_not_read_and_time_is_kept(tmp_path):
    (tmp_path / "secret").write_text("step,key\n1,42\n")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").symlink_to(tmp_path / "secret")
    (tmp_path / "logs" / "b.csv").write_text("step,x\n1,nan\n")
    logs = ForeignLogs(tmp_path / "logs")
    assert logs.read(time.monotonic() - 1) < 1
    assert not logs.curves.by_name
    read(logs)
    assert list(logs.curves.by_name) == ["b/x"]
    assert math.isnan(logs.curves.latest()["b/x"].value)
    gone = ForeignLogs(tmp_path / "none")
    assert read(gone) == 1
