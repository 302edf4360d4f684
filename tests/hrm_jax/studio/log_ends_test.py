"""The end of a log, read as it grows."""

import json
import math

import pytest

from hrm_jax.studio import log_ends
from hrm_jax.studio.log_ends import LogEnd
from hrm_jax.studio.series import MOST_CURVES


def append(path, *records):
    with open(path, "ab") as file:
        for record in records:
            file.write(json.dumps(record).encode() + b"\n")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "metrics.jsonl"


def test_new_records_alone_are_told_and_the_newest_values_are_kept(log):
    append(log, {"step": 1, "split": "train", "loss": 3.0, "time_seconds": 10.0})
    end = LogEnd(log, "other")
    assert [record["step"] for record in end.read()] == [1]
    assert end.read() == []
    append(log, {"step": 2, "loss": math.nan}, {"loss": 1.0}, [1], {"step": 3, "split": "train"})
    assert [record["step"] for record in end.read()] == [2, 3]
    assert (end.step, end.updated) == (3, 10.0)
    assert end.latest == {"train/loss": 3.0, "other/loss": None}


def test_a_long_log_is_read_from_its_end_and_what_is_half_written_waits(log, monkeypatch):
    monkeypatch.setattr(log_ends, "_END_BYTES", 60)
    append(log, *({"step": step, "loss": 1.0} for step in range(9)))
    with open(log, "ab") as file:
        file.write(b'{"step": 9, "lo')
    end = LogEnd(log, "train")
    assert [record["step"] for record in end.read()] == [8]
    with open(log, "ab") as file:
        file.write(b'ss": 2.0}\n')
    assert [record["step"] for record in end.read()] == [9]
    assert end.latest == {"train/loss": 2.0}


def test_a_log_that_was_replaced_or_is_gone_is_read_anew(log):
    append(log, {"step": 5, "loss": 1.0})
    end = LogEnd(log, "train")
    end.read()
    other = log.with_name("other")
    append(other, {"step": 2, "accuracy": 0.5})
    other.replace(log)
    end.read()
    assert (end.step, end.latest) == (2, {"train/accuracy": 0.5})
    log.unlink()
    assert end.read() == []
    assert (end.step, end.updated, end.latest) == (0, None, {})
    append(log, {"step": 7, "loss": 4.0})
    end.read()
    assert (end.step, end.latest) == (7, {"train/loss": 4.0})


def test_names_without_end_are_not_all_kept(log):
    append(log, *({"step": step, f"curve {step}": 1.0} for step in range(MOST_CURVES + 9)))
    end = LogEnd(log, "train")
    end.read()
    assert len(end.latest) == MOST_CURVES
    assert end.step == MOST_CURVES + 8
