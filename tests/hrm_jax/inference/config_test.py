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


def test_what_is_not_said_has_these_values():
    """A saved config may lack a field; it was run with the default."""
    assert EngineConfig() == EngineConfig(
        batch_size=256,
        tail_batch_sizes=(64, 16),
        min_steps=1,
        max_steps=16,
        stop_when_valid=True,
        halt_confidence=1.0,
        stable_steps=0,
        steps_per_dispatch=8,
    )
    assert SearchConfig() == SearchConfig(
        attempts=0, steps=0, max_steps=0, assume=False, symmetries=True, noise=0.0, seed=0
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 1, "tail_batch_sizes": ()},
        {"batch_size": 2, "tail_batch_sizes": (1,)},
        {"min_steps": 16},
        {"min_steps": 1, "max_steps": 1},
        {"halt_confidence": 0.0},
        {"steps_per_dispatch": 1},
    ],
)
def test_an_engine_at_the_ends_of_its_ranges_is_accepted(fields):
    assert replace(EngineConfig(), fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 2**32 - 1},
        {"steps": 2},
        {"attempts": 1, "symmetries": False, "noise": 1e-3},
        {"attempts": 1},
    ],
)
def test_a_search_at_the_ends_of_its_ranges_is_accepted(fields):
    assert replace(SearchConfig(), fields)


def test_a_budget_of_one_step_has_no_room():
    with pytest.raises(ConfigError, match=r"^steps: expected 0, or more than max_steps=0 "):
        SearchConfig(steps=1)
    with pytest.raises(ConfigError, match=r"^max_steps: expected 0 or more, got -1"):
        SearchConfig(max_steps=-1)
