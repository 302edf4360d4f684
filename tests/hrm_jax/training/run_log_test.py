import dataclasses
import importlib.metadata
import json
import math
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event, SessionLog

import hrm_jax
from hrm_jax.core.config import ConfigError
from hrm_jax.core.types import Variables
from hrm_jax.training import run_log
from hrm_jax.training.run_log import RunLog, RunLogError, read_metrics, write_run_info, write_size


def without_times(records):
    return [{k: v for k, v in record.items() if k != "time_seconds"} for record in records]


def train(log, first, last):
    for step in range(first, last + 1):
        log.write(step, {"loss": jnp.float32(1 / step), "correct": np.int64(step)})
        if step % 2 == 0:
            log.write(step, {"exact": step / 7}, split="validation")


def read_events(folder):
    """All TensorBoard events: each is its length, a checksum, a protobuf and a checksum."""
    events = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def test_records_hold_step_time_split_and_metrics(tmp_path):
    with RunLog(tmp_path / "run") as log:
        train(log, 1, 2)
    records = read_metrics(tmp_path / "run")
    assert without_times(records) == [
        {"step": 1, "split": "train", "loss": 1.0, "correct": 1},
        {"step": 2, "split": "train", "loss": 0.5, "correct": 2},
        {"step": 2, "split": "validation", "exact": 2 / 7},
    ]
    times = [record["time_seconds"] for record in records]
    assert times == sorted(times)
    assert list(records[0]) == ["step", "time_seconds", "split", "loss", "correct"]


def test_tensorboard_gets_the_same(tmp_path):
    with RunLog(tmp_path) as log:
        train(log, 1, 2)
    scalars = [
        (event.step, value.tag, value.simple_value)
        for event in read_events(tmp_path)
        for value in event.summary.value
    ]
    assert scalars == [
        (1, "train/loss", 1.0),
        (1, "train/correct", 1.0),
        (2, "train/loss", 0.5),
        (2, "train/correct", 2.0),
        (2, "validation/exact", pytest.approx(2 / 7)),
    ]


def test_numbers_that_json_has_not_come_back(tmp_path):
    with RunLog(tmp_path) as log:
        log.write(1, {"a": math.nan, "b": -math.inf, "c": jnp.bfloat16(jnp.inf), "d": True})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert '"a": "NaN", "b": "-Infinity", "c": "Infinity", "d": true' in text
    (record,) = read_metrics(tmp_path)
    assert math.isnan(record["a"])
    assert (record["b"], record["c"], record["d"]) == (-math.inf, math.inf, True)
    with RunLog(tmp_path, resume_step=1):
        pass
    assert (tmp_path / "metrics.jsonl").read_text() == text


def test_a_split_may_have_any_name(tmp_path):
    with RunLog(tmp_path) as log:
        log.write(1, {}, split="NaN")
    assert read_metrics(tmp_path)[0]["split"] == "NaN"


@hypothesis.given(resume_step=st.integers(-1, 8), stop=st.integers(0, 8), torn=st.integers(0, 30))
@hypothesis.settings(max_examples=25, deadline=None)
def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path_factory, resume_step, stop, torn):
    whole = tmp_path_factory.mktemp("whole")
    resumed = tmp_path_factory.mktemp("resumed")
    with RunLog(whole) as log:
        train(log, 1, 8)
    resume_step = min(resume_step, stop)
    with RunLog(resumed) as log:
        train(log, 1, stop)
    with open(resumed / "metrics.jsonl", "a") as file:
        file.write('{"step": 9, "time_seconds": 1.0,'[:torn])  # the write that the kill cut short
    with RunLog(resumed, resume_step=resume_step) as log:
        assert all(record["step"] <= resume_step for record in read_metrics(resumed))
        train(log, max(resume_step, 0) + 1, 8)
    assert without_times(read_metrics(resumed)) == without_times(read_metrics(whole))


def test_kept_records_are_kept_to_the_byte(tmp_path):
    with RunLog(tmp_path) as log:
        train(log, 1, 4)
    before = (tmp_path / "metrics.jsonl").read_text()
    with RunLog(tmp_path, resume_step=2):
        pass
    after = (tmp_path / "metrics.jsonl").read_text()
    assert after == "".join(before.splitlines(keepends=True)[:3])


@pytest.mark.parametrize("resume_step", [-1, 2])
def test_tensorboard_is_told_where_a_resumed_run_starts(tmp_path, resume_step):
    with RunLog(tmp_path) as log:
        train(log, 1, 4)
    with RunLog(tmp_path, resume_step=resume_step) as log:
        train(log, resume_step + 1, 4) if resume_step > 0 else None
    starts = [e.step for e in read_events(tmp_path) if e.session_log.status == SessionLog.START]
    assert starts == [resume_step + 1]


def test_a_new_run_refuses_the_log_of_another(tmp_path):
    with RunLog(tmp_path) as log:
        train(log, 1, 2)
    with pytest.raises(RunLogError, match="found 3 up to step 2; pass resume_step to go on"):
        RunLog(tmp_path)


def test_a_log_without_records_yet_is_as_none(tmp_path):
    with RunLog(tmp_path):
        pass
    with RunLog(tmp_path) as log:
        train(log, 1, 1)
    assert len(read_metrics(tmp_path)) == 1


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"loss": jnp.zeros(3)}, r"loss: expected one number, got float32\[3\] .* reduce it first"),
        ({"loss": "low"}, "loss: expected one number, got <U3"),
        ({"loss": None}, "loss: expected one number, got object"),
        ({"loss": 1j}, "loss: expected one number, got complex128"),
        ({"step": 1}, "step: a record has this field already; rename the metric"),
        ({"split": 1}, "split: a record has this field already"),
    ],
)
def test_metrics_that_are_no_numbers(tmp_path, metrics, message):
    with RunLog(tmp_path) as log, pytest.raises(RunLogError, match=message):
        log.write(1, metrics)
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        *("{", "", "3", '{"step": 1}'),
        '{"step": "x", "time_seconds": 1, "split": "a"}',
        '{"step": null, "time_seconds": 1, "split": "a"}',
        '{"step": true, "time_seconds": 1, "split": "a"}',
        '{"step": 1.5, "time_seconds": 1, "split": "a"}',
        '{"step": 1, "time_seconds": "x", "split": "a"}',
        '{"step": 1, "time_seconds": 1, "split": [2]}',
    ],
)
def test_a_damaged_line_before_the_last_is_named(tmp_path, line):
    with RunLog(tmp_path) as log:
        train(log, 1, 1)
    path = tmp_path / "metrics.jsonl"
    path.write_text(line + "\n" + path.read_text())
    message = (
        r"metrics\.jsonl:1: expected a JSON object with step, time_seconds, split \(two numbers "
        r"and a text\), got"
    )
    with pytest.raises(RunLogError, match=message):
        read_metrics(tmp_path)
    with pytest.raises(RunLogError, match=message):
        RunLog(tmp_path, resume_step=1)


def test_reading_without_a_log(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_metrics(tmp_path)


WRITE_AND_DIE = """
import os, signal, sys
from hrm_jax.training.run_log import RunLog

log = RunLog(sys.argv[1])
for step in range(1, 101):
    log.write(step, {"loss": 1 / step})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sigkill_loses_no_record(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(hrm_jax.__file__).parents[1])}
    command = [sys.executable, "-c", WRITE_AND_DIE, str(tmp_path)]
    done = subprocess.run(command, env=environment, timeout=60, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [record["step"] for record in read_metrics(tmp_path)] == list(range(1, 101))


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with RunLog(tmp_path) as log:
        train(log, 1, 2)
        log.sync()
    write_run_info(tmp_path, Config())
    assert list(tmp_path.iterdir()) == []


@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = 0.1
    sizes: tuple[int, ...] = (1, 2)


def test_run_info(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train", "--preset=paper"])
    write_run_info(tmp_path / "run", Config())
    assert json.loads((tmp_path / "run/config.json").read_text()) == {"rate": 0.1, "sizes": [1, 2]}
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["command"] == ["train", "--preset=paper"]
    assert environment["working_folder"] == os.getcwd()
    assert run_log.working_folder(tmp_path / "run") == Path.cwd()
    assert run_log.working_folder(tmp_path) is None
    assert environment["packages"]["jax"] == jax.__version__
    assert environment["packages"].keys() == {
        "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy",
    }  # fmt: skip
    assert sum(environment["devices"].values()) == jax.device_count()
    assert environment["process_count"] == 1
    assert environment.keys() >= {"git", "python", "platform"}


def test_run_info_names_a_config_that_json_cannot_hold(tmp_path):
    with pytest.raises(ConfigError, match="rate: expected a finite number"):
        write_run_info(tmp_path, Config(rate=math.inf))


def test_a_package_that_is_not_installed_has_no_version(tmp_path, monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    write_run_info(tmp_path, Config())
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert set(environment["packages"].values()) == {None}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def test_git_commit_and_dirty_flag(checkout):
    head = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    assert run_log._git_state(checkout) == {"commit": head, "dirty": False}
    (checkout / "file").write_text("2")
    assert run_log._git_state(checkout) == {"commit": head, "dirty": True}


def test_no_git(tmp_path, monkeypatch):
    assert run_log._git_state(tmp_path) is None  # no checkout
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_log._git_state(Path(__file__).parent) is None  # no git


def test_the_size_of_a_model_is_written(tmp_path):
    variables = Variables({"a": np.zeros((2, 3)), "b": np.zeros(4)}, {"c": np.zeros(5)}, None)
    write_size(tmp_path, variables)
    found = json.loads((tmp_path / "size.json").read_text())
    assert found == {"version": 1, "parameters": 10, "frozen": 5}
