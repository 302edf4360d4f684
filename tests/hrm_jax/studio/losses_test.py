import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.studio.losses import Losses, is_loss

FALL = list(np.exp(-np.arange(60) / 20))
NOISE = list(1 + np.random.default_rng(0).normal(0, 0.3, 2000))


def trouble_of(values, name="train/loss"):
    losses = Losses()
    losses.add(name, list(range(len(values))), list(values))
    return losses.trouble


@pytest.mark.parametrize(
    ("values", "trouble"),
    [
        (FALL, ""),
        (FALL + [0.5] * 60, "train/loss is rising"),
        (FALL + [0.06] * 60, ""),
        (list(range(1, 40)), ""),
        (list(range(1, 41)), "train/loss is rising"),
        (NOISE, ""),
        (NOISE + [3.0] * 20, "train/loss is rising"),
        ([1.0, math.nan], "train/loss has values that are no numbers"),
        ([1.0, math.inf, *FALL], "train/loss has values that are no numbers"),
        ([], ""),
    ],
    ids=["falls", "rises", "settles", "few", "many", "noise", "leaves", "nan", "inf", "none"],
)
def test_a_loss_that_rises_or_is_no_number_is_told(values, trouble):
    assert trouble_of(values) == trouble


@given(st.lists(st.floats(0, 1e6), min_size=40, max_size=80))
def test_a_loss_that_only_falls_is_no_trouble(values):
    assert trouble_of(sorted(values, reverse=True)) == ""


def test_values_count_once_and_anew_where_a_run_goes_back():
    losses = Losses()
    losses.add("train/loss", [1, 2], [1.0, math.nan])
    losses.add("train/loss", [1, 2, 3], [1.0, math.nan, 1.0])
    assert losses.count("train/loss") == 3
    assert losses.trouble == "train/loss has values that are no numbers"
    losses.add("train/loss", [1], [1.0])
    assert (losses.count("train/loss"), losses.trouble) == (1, "")


@pytest.mark.parametrize("name", ["loss", "train/loss", "run/a/loss", "other/loss"])
def test_losses_of_training(name):
    assert is_loss(name)


@pytest.mark.parametrize(
    "name", ["validation/loss", "val/loss", "test/loss", "eval/x/loss", "train/lm_loss", "losses"]
)
def test_what_is_no_loss_of_training(name):
    assert not is_loss(name)
    assert trouble_of([math.nan], name) == ""
