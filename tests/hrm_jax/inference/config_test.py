"""Configs of the engine and of the search refuse what cannot be."""

import re

import pytest

from hrm_jax.core.config import ConfigError, replace
from hrm_jax.inference.config import EngineConfig, SearchConfig


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("batch_size", 0),
        ("min_steps", 0),
        ("min_steps", 17),
        ("max_steps", 0),
        ("stable_steps", -1),
        ("steps_per_dispatch", 0),
        ("halt_confidence", 1.5),
        ("halt_confidence", -0.5),
        ("tail_batch_sizes", (64, 64)),
        ("tail_batch_sizes", (16, 64)),
        ("tail_batch_sizes", (256,)),
    ],
)
def test_an_engine_that_cannot_be_is_refused(path, value):
    with pytest.raises(ConfigError, match=rf"^{path}: expected .*, got {re.escape(repr(value))};"):
        replace(EngineConfig(), {path: value})


def test_a_batch_without_a_slot_is_refused():
    with pytest.raises(ConfigError, match=r"^tail_batch_sizes\[0\]: expected 1 or more, got 0;"):
        EngineConfig(tail_batch_sizes=(0,))


@pytest.mark.parametrize(
    ("path", "value"),
    [("attempts", -1), ("steps", -1), ("noise", -0.5), ("seed", -1), ("seed", 2**32)],
)
def test_a_search_that_cannot_be_is_refused(path, value):
    with pytest.raises(ConfigError, match=f"^{path}: expected .*, got {value};"):
        replace(SearchConfig(), {path: value})


def test_a_budget_has_room_for_an_attempt():
    with pytest.raises(
        ConfigError, match=r"^steps: expected 0, or more than max_steps=16 .*got 16"
    ):
        SearchConfig(steps=16, max_steps=16)
    assert SearchConfig(steps=17, max_steps=16).steps == 17


def test_attempts_have_to_differ():
    with pytest.raises(
        ConfigError, match=r"^attempts: .* neither by assumption, by symmetry nor by noise"
    ):
        SearchConfig(attempts=1, symmetries=False)
    assert SearchConfig(attempts=1, symmetries=False, noise=0.5).attempts == 1
    assert SearchConfig(attempts=1, symmetries=False, assume=True).attempts == 1


def test_batch_sizes_are_decreasing():
    assert EngineConfig(32, (8, 1)).batch_sizes == (32, 8, 1)
