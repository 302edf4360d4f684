"""Training in a folder: what stops it at its start, what it compiles, and how it goes on."""

import contextlib
import dataclasses
import json
import logging
import shutil
import signal
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError, to_json
from hrm_jax.core.files import InUse, exclusive
from hrm_jax.training import learned_data, run
from hrm_jax.training.checkpoint import CheckpointStore
from hrm_jax.training.progress import Progress
from hrm_jax.training.state_arrays import CheckpointError
from tests.hrm_jax.training.tiny import TRACED, Table, TinyTask


@pytest.fixture
def no_data(monkeypatch):
    """A run that does not stop at its start would ask for data."""
    monkeypatch.setattr(run, "_load_in_turn", lambda _: pytest.fail("the run has begun"))


def test_a_full_disk_is_noticed_at_the_start(tmp_path, monkeypatch, no_data):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(CheckpointError, match=r"expected [\d,]+ free bytes for .*, found 1,000"):
        run.train(TinyTask(), tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_noticed_at_the_start(tmp_path, no_data):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="expected a writable folder at"):
        run.train(TinyTask(), tmp_path / "file" / "run")


def test_a_folder_with_a_run_is_not_overwritten(tmp_path, no_data):
    (tmp_path / "config.json").write_text(to_json(TinyTask().config))
    with pytest.raises(run.RunError, match="holds a run already; add --resume"):
        run.train(TinyTask(), tmp_path)


class TwoModels(TinyTask):
    """A task whose model changes after every step, and back, as a warming gradient border's does.

    It makes equal models anew each time, which must not be compiled again.
    """

    def model_at(self, step):
        return Table(scale=1.0 + step % 2)


@pytest.mark.parametrize(("task", "models"), [(TinyTask, 1), (TwoModels, 2)])
def test_each_model_is_compiled_once(tmp_path, caplog, task, models):
    TRACED.clear()
    with jax.log_compiles(True), caplog.at_level(logging.WARNING):
        run.train(task(steps=6), tmp_path)
    assert list(TRACED.values()) == [1] * models
    messages = [record.getMessage() for record in caplog.records]
    assert sum("Finished XLA compilation of jit(train_step)" in text for text in messages) == models


class InParts(TinyTask):
    """A task whose batches of four rows are taken in parts."""

    def __init__(self, parts, steps=4):
        super().__init__(steps)
        loop = dataclasses.replace(self.config.loop, batch_parts=parts)
        self.config = dataclasses.replace(self.config, loop=loop)


def test_parts_change_nothing_but_rounding(tmp_path):
    whole = run.train(TinyTask(), tmp_path / "whole").variables.params["table"]
    TRACED.clear()
    in_parts = run.train(InParts(2), tmp_path / "in_parts").variables.params["table"]
    assert sum(TRACED.values()) == 1
    np.testing.assert_allclose(in_parts, whole, rtol=1e-5, atol=1e-7)


def test_parts_that_do_not_divide_a_batch_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="divide the 4 rows of a device equally, got 3"):
        run.train(InParts(3), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


class Told(Progress):
    """Remembers what it is told."""

    def __init__(self, stop_after=None):
        self.steps = []
        self.messages = []
        self.stop_after = stop_after

    @contextlib.contextmanager
    def training(self, first_step, steps):
        self.first_step = first_step

        def tell(step, averages):
            self.steps.append((step, dict(averages)))
            if step == self.stop_after:
                signal.raise_signal(signal.SIGTERM)

        yield tell

    def stopped(self, message):
        self.messages.append(message)


def test_progress_is_told_of_every_step_and_of_a_stop(tmp_path):
    told = Told(stop_after=2)
    state = run.train(TinyTask(), tmp_path, progress=told)
    assert int(state.step) == 3
    assert [step for step, averages in told.steps] == [1, 2, 3]
    assert [step for step, averages in told.steps if averages] == [2]
    assert told.messages == [
        f"stopped by SIGTERM after step 3, saved in {tmp_path}; --resume --run={tmp_path} goes on"
    ]
    told = Told()
    assert int(run.train(TinyTask(), tmp_path, resume=True, progress=told).step) == 4
    assert (told.first_step, told.messages) == (3, [])


def test_a_run_in_use_is_left_as_it_is(tmp_path):
    run.train(TinyTask(), tmp_path)
    being_saved = tmp_path / run.CHECKPOINTS / ".saving-4"
    being_saved.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with exclusive(tmp_path), pytest.raises(InUse, match="another process works in"):
        run.train(TinyTask(), tmp_path, resume=True)
    assert sorted(tmp_path.rglob("*")) == before


class Fingerprinted(TinyTask):
    """A task whose data are what they are said to be."""

    def __init__(self, fingerprint, steps=4):
        super().__init__(steps)
        self._fingerprint = fingerprint

    def fingerprint(self, data):
        return self._fingerprint


def learned(folder):
    return json.loads((folder / learned_data.DATA).read_text())


def test_other_data_are_refused_unless_they_are_accepted(tmp_path):
    run.train(Fingerprinted("a" * 64), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("[!.]*")}
    message = "expected fingerprint aaaaaaaaaaaa, got bbbbbbbbbbbb; .* --accept_changed_data"
    with pytest.raises(learned_data.DataChanged, match=message):
        run.train(Fingerprinted("b" * 64), tmp_path, resume=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("[!.]*")} == before
    changed = Fingerprinted("b" * 64, steps=6)
    run.train(changed, tmp_path, resume=True, accept_changed_data=True)
    assert learned(tmp_path) == [
        {"step": 0, "fingerprint": "a" * 64},
        {"step": 4, "fingerprint": "b" * 64},
    ]


def test_an_older_checkpoint_goes_on_with_the_data_that_it_learned_from(tmp_path):
    run.train(Fingerprinted("a" * 64), tmp_path)
    run.train(Fingerprinted("b" * 64, steps=6), tmp_path, resume=True, accept_changed_data=True)
    store = CheckpointStore(tmp_path / run.CHECKPOINTS, keep=3)
    assert 2 in store.steps()
    store.discard_after(2)
    with pytest.raises(learned_data.DataChanged, match=r"expected fingerprint a+, got b"):
        run.train(Fingerprinted("b" * 64, steps=6), tmp_path, resume=True)
    run.train(Fingerprinted("a" * 64, steps=6), tmp_path, resume=True)
    assert learned(tmp_path) == [{"step": 0, "fingerprint": "a" * 64}]


def test_a_run_that_does_not_say_what_it_learned_from_goes_on(tmp_path):
    run.train(TinyTask(), tmp_path)
    assert not (tmp_path / learned_data.DATA).exists()
    run.train(Fingerprinted("a", steps=6), tmp_path, resume=True)
    assert learned(tmp_path) == [{"step": 4, "fingerprint": "a"}]


def test_the_default_progress_goes_to_the_log(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "hrm_jax.training.progress"):
        run.train(TinyTask(), tmp_path)
    lines = [record.getMessage() for record in caplog.records if "step" in record.getMessage()]
    assert [line.split(":")[0] for line in lines] == ["step 2/4", "step 4/4"]


def test_resuming_a_task_of_plain_batches_changes_no_bit(tmp_path):
    expected = run.train(TinyTask(), tmp_path)
    CheckpointStore(tmp_path / run.CHECKPOINTS, keep=3).discard_after(2)
    found = run.train(TinyTask(), tmp_path, resume=True)

    def same(a, b):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a = jax.random.key_data(a)
            b = jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()

    jax.tree.map(same, found, expected)


class Probed(TinyTask):
    """A task that probes its parameters' first number at every evaluation."""

    def hooks(self, data, batches, mesh):
        first = lambda state: {"first": float(jax.tree.leaves(state.variables)[0].ravel()[0])}  # noqa: E731
        return dataclasses.replace(super().hooks(data, batches, mesh), evaluate=first, probe=first)


def side_records(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_run_keeps_telemetry_probes_and_its_process(tmp_path):
    whole = tmp_path / "whole"
    run.train(Probed(steps=6), whole)
    telemetry = side_records(whole, "telemetry.jsonl")
    assert [record["step"] for record in telemetry] == [2, 4, 6]
    assert all(record["gradient_norm"] > 0 and record["learning_rate"] > 0 for record in telemetry)
    probes = side_records(whole, "probes.jsonl")
    metrics = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    validation = {r["step"]: r["first"] for r in metrics if r["split"] == "validation"}
    assert {record["step"]: record["first"] for record in probes} == validation
    assert validation.keys() == {2, 4, 6}
    assert json.loads((whole / "process.json").read_text())["state"] == "finished"
    # Resumed, it has the same norms as if it had not been stopped.
    stopped = tmp_path / "stopped"
    run.train(Probed(steps=6), stopped, progress=Told(stop_after=3))
    assert json.loads((stopped / "process.json").read_text())["state"] == "stopped"
    run.train(Probed(steps=6), stopped, resume=True)
    again = side_records(stopped, "telemetry.jsonl")
    for name in ("step", "gradient_norm", "learning_rate"):
        assert [record[name] for record in again] == [record[name] for record in telemetry]
    assert json.loads((stopped / "process.json").read_text())["state"] == "finished"
