"""What trackers are given, by stand-ins, and by the packages themselves where they are."""

import sys
import types

import pytest

from hrm_jax.training import run
from hrm_jax.training.run_log import RunLog, read_metrics
from hrm_jax.training.trackers import (
    TRACKERS,
    TrackerError,
    check_trackers,
    chosen,
    open_trackers,
)
from tests.hrm_jax.training.tiny import TinyTask


class Calls(types.ModuleType):
    """A module that keeps what it is called with."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            return self

        return call


@pytest.fixture(params=TRACKERS)
def stand_in(request, monkeypatch):
    module = Calls(request.param)
    monkeypatch.setitem(sys.modules, request.param, module)
    return module


def test_every_record_is_written_there_as_well(stand_in, tmp_path):
    folder = tmp_path / "my-run"
    name = stand_in.__name__
    check_trackers([name])
    with RunLog(folder, trackers=open_trackers(chosen([name, name]), folder, {"seed": 3})) as log:
        log.write(10, {"loss": 0.5})
        log.write(10, {"accuracy": 0.25}, split="validation")
    told = [call for call in stand_in.calls if call[0] != "Settings"]
    first, last = told[0], told[-1]
    assert first[0] == "init"
    assert (first[2]["name"], first[2]["config"]) == ("my-run", {"seed": 3})
    assert last[0] == "finish"
    logged = [{**args[0], **kwargs} for kind, args, kwargs in told if kind == "log"]
    step = "training_step" if name == "wandb" else "step"
    assert logged == [
        {"train/loss": 0.5, step: 10},
        {"validation/accuracy": 0.25, step: 10},
    ]
    assert len(read_metrics(folder)) == 2


def test_weights_and_biases_stays_offline(monkeypatch, tmp_path):
    module = Calls("wandb")
    monkeypatch.setitem(sys.modules, "wandb", module)
    open_trackers(["wandb"], tmp_path / "run", {})
    kind, _, given = next(call for call in module.calls if call[0] == "init")
    assert (kind, given["mode"], given["dir"]) == ("init", "offline", str(tmp_path))


@pytest.mark.parametrize("name", TRACKERS)
def test_a_package_that_is_missing_says_so(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TrackerError, match=f"pip install {name}, or go on with --log_to=none"):
        check_trackers([name])
    check_trackers([])


def test_a_resumed_run_writes_there_as_before_until_it_is_told_not_to(stand_in, tmp_path):
    name = stand_in.__name__

    def logged(**options):
        stand_in.calls.clear()
        run.train(TinyTask(steps=options.pop("steps")), tmp_path, **options)
        return [call[1][0] for call in stand_in.calls if call[0] == "log"]

    first = logged(steps=2, trackers=[name])
    assert len(first) > 0
    again = logged(steps=4, resume=True)
    assert len(again) > 0
    # What it is told to do differently it does from then on.
    assert logged(steps=6, resume=True, trackers=["none"]) == []
    assert logged(steps=8, resume=True) == []
    assert read_metrics(tmp_path)[-1]["step"] == 8
