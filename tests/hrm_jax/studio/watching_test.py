import dataclasses
import json
import os

import pytest

pytest.importorskip("psutil", reason="needs the extra studio")

from hrm_jax.studio.folders import UnknownRun
from hrm_jax.studio.forms import load_all
from hrm_jax.studio.watching import Watching


@pytest.fixture
def watching(runs, experiments):
    return Watching(runs, experiments)


def records(first, last):
    return [{"step": step, "loss": 1 / step} for step in range(first, last + 1)]


def test_a_summary_has_state_progress_and_last_values(watching, write_run):
    folder = write_run("a", records(1, 4))
    telemetry = '{"version":1,"step":4,"time_seconds":2e9,"learning_rate":0.1}\n{"version":1,"st'
    (folder / "telemetry.jsonl").write_text(telemetry)
    found = watching.summaries()["a"]
    assert (found["state"], found["step"], found["steps"]) == ("unknown", 4, 10)
    assert found["latest"] == {"train/loss": 0.25, "telemetry/learning_rate": 0.1}
    assert (found["experiment"], found["updated"]) == ("fake", 2e9)


@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_loss_that_is_no_number_is_told_until_the_run_is_taken_up_before_it(
    watching, write_run, is_foreign
):
    folder = write_run("a", records(1, 3))
    if is_foreign:
        (folder / "metrics.jsonl").unlink()
        log = folder / "train.csv"
        log.write_text("step,loss\n1,2\n")
        wrong, again = "2,nan\n", "step,loss\n1,2\n"
    else:
        log = folder / "metrics.jsonl"
        wrong = '{"step": 4, "split": "train", "loss": NaN}\n'
        again = '{"step": 2, "split": "train", "loss": 1}\n'
    assert watching.summaries()["a"]["trouble"] == ""
    with open(log, "a") as file:
        file.write(wrong)
    assert watching.summaries()["a"]["trouble"] == "train/loss has values that are no numbers"
    (folder / "new").write_text(again)
    os.replace(folder / "new", log)
    # Other code's logs are read anew from the second look on.
    watching.summaries()
    watching.forget("a")
    assert watching.summaries()["a"]["trouble"] == ""


def test_curves_grow_and_begin_anew_when_a_run_is_resumed(watching, write_run):
    folder = write_run("a", records(1, 3))
    watched = watching.get("a")
    curves, share = watched.read_curves()
    assert (share, len(curves.by_name["train/loss"]), watched.generation) == (1.0, 3, 0)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "split": "train", "loss": 5}\n{"step": 5, "spl')
    curves, _ = watched.read_curves()
    assert list(curves.by_name["train/loss"].points().values) == [1, 0.5, 1 / 3, 5]
    (folder / "new").write_text('{"step": 1, "split": "train", "loss": 7}\n')
    os.replace(folder / "new", folder / "metrics.jsonl")
    while (found := watched.read_curves())[1] < 1:
        pass
    assert list(found[0].by_name["train/loss"].points().values) == [7]
    assert watched.generation == 1


def test_a_run_is_told_of_at_once_where_its_log_grows_or_its_experiment_is_known(
    watching, write_run, experiments
):
    folder = write_run("a", records(1, 1))
    fake = dataclasses.replace(experiments["fake"])  # not loaded yet
    experiments["fake"] = fake
    assert (watching.summaries()["a"]["step"], fake.is_loaded) == (1, False)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "split": "train", "loss": 5}\n')
    assert (watching.summaries()["a"]["step"], watching.summaries()["a"]["experiment"]) == (2, "")
    load_all(experiments)
    assert watching.summaries()["a"]["experiment"] == "fake"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\n", b"{\n", b"[]\n3\nnull\n", b'{"step": 1e999, "a": 1}\n', b"x" * 100],
)
def test_damaged_logs_are_shown_as_far_as_they_can_be(watching, write_run, content):
    folder = write_run("a")
    (folder / "metrics.jsonl").write_bytes(content + b'\n{"step": 2, "split": "t", "a": 1}\n')
    assert watching.summaries()["a"]["latest"] == {"t/a": 1.0}
    curves, _ = watching.get("a").read_curves()
    assert list(curves.by_name["t/a"].points().values) == [1]
    assert curves.damaged >= 1


@pytest.mark.parametrize("config", ["", "[]", '{"loop": 3, "description": {"a": 1}, "seed": "x"}'])
def test_damaged_configurations(watching, write_run, config):
    folder = write_run("a", records(1, 1))
    (folder / "config.json").write_text(config)
    found = watching.summaries()["a"]
    assert (found["steps"], found["experiment"], found["seed"]) == (None, "", None)
    json.dumps(found)


def test_a_run_that_is_deleted_is_forgotten(watching, write_run, runs):
    write_run("a")
    assert list(watching.summaries()) == ["a"]
    os.rename(runs.root / "a", runs.root / ".a")
    assert watching.summaries() == {}
    with pytest.raises(UnknownRun):
        watching.get("a")
