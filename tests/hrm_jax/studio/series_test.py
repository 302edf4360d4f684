import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from hrm_jax.studio.series import MOST_CURVES, Curves, as_json, as_number, decimate


@hypothesis.given(
    values=st.lists(st.floats(allow_subnormal=False), min_size=1, max_size=400),
    most=st.integers(4, 40),
)
def test_smallest_largest_first_and_last_are_kept(values, most):
    values = np.array(values)
    chosen = decimate(values, most)
    assert list(chosen) == sorted(set(chosen.tolist()))
    assert (chosen[0], chosen[-1]) == (0, len(values) - 1)
    assert len(chosen) <= most + 4
    finite = values[np.isfinite(values)]
    if finite.size:
        kept = values[chosen]
        assert kept[np.isfinite(kept)].max() == finite.max()
        assert kept[np.isfinite(kept)].min() == finite.min()
    broken = np.flatnonzero(~np.isfinite(values))
    assert not broken.size or broken[0] in chosen


def test_one_peak_among_a_million_is_seen():
    values = np.zeros(1_000_000)
    values[654_321] = 1.0
    assert 654_321 in decimate(values, 1000)


def test_records_become_curves():
    curves = Curves()
    curves.add(
        {"step": 2, "time_seconds": 5.0, "split": "train", "loss": 0.5, "text": "x"}, "other"
    )
    curves.add({"step": 3, "time_seconds": 6.0, "learning_rate": 1, "loss": "NaN"}, "telemetry")
    assert curves.by_name.keys() == {"train/loss", "telemetry/learning_rate", "telemetry/loss"}
    assert [list(column) for column in curves.by_name["train/loss"].points()] == [[2], [5], [0.5]]
    assert as_json(curves.by_name["telemetry/loss"].points())["values"] == [None]


def test_points_after_a_number():
    curves = Curves()
    for step in range(5):
        curves.add({"step": step, "split": "a", "x": step}, "")
    assert list(curves.by_name["a/x"].points(3).values) == [3, 4]


@pytest.mark.parametrize(
    "record", [{}, {"step": "x", "a": 1}, {"step": "NaN", "a": 1}, {"step": None}]
)
def test_records_without_a_step_are_counted(record):
    curves = Curves()
    curves.add(record, "a")
    assert (curves.by_name, curves.damaged) == ({}, 1)


def test_a_log_with_endless_names_is_cut_short():
    curves = Curves()
    curves.add({"step": 1, **{f"m{i}": i for i in range(1000)}}, "a")
    assert len(curves.by_name) == MOST_CURVES
    assert curves.is_full


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (True, 1.0), ("Infinity", math.inf), (10**400, math.inf), (-(10**400), -math.inf),
     ("1", None), (None, None), ([1], None)],
)  # fmt: skip
def test_numbers_of_logs(value, number):
    assert as_number(value) == number
