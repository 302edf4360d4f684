"""What the engine tells of every step, and that it is kept by puzzle and attempt."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.types import Batch
from hrm_jax.inference.config import EngineConfig, SearchConfig
from hrm_jax.inference.engine import Engine
from hrm_jax.inference.journal import Journal
from hrm_jax.inference.search import search
from hrm_jax.inference.stream import solve_stream
from hrm_jax.inference.thinking import Thoughts, think, thoughts_of
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel
from tests.hrm_jax.inference.clockwork import VARIABLES, Clockwork, puzzles, verify

DUE = np.random.default_rng(0).integers(1, 12, 20)
CONFIG = EngineConfig(batch_size=8, tail_batch_sizes=(4, 1), max_steps=9, steps_per_dispatch=3)


def observe(model, outputs) -> Thoughts:
    tokens = outputs.logits.argmax(-1).astype(jnp.int32)
    confidence = jax.nn.sigmoid(outputs.q_halt_logits)
    return Thoughts(tokens, confidence, confidence > 0.5, tokens.astype(jnp.float32))


ENGINE = Engine(Clockwork(), CONFIG, verify, observe=observe)


@pytest.mark.parametrize("sizes", [(8, (4, 1)), (1, ()), (32, ())])
def test_every_step_of_every_puzzle_is_kept(sizes):
    config = dataclasses.replace(CONFIG, batch_size=sizes[0], tail_batch_sizes=sizes[1])
    engine = dataclasses.replace(ENGINE, config=config)
    journal = Journal()
    answers = solve_stream(engine, VARIABLES, puzzles(DUE), watch=journal)
    for puzzle, steps in enumerate(answers.steps):
        thoughts = journal.thoughts(puzzle, 0)
        # A proposal counts the steps before it, and carries the payload of its puzzle.
        np.testing.assert_array_equal(thoughts.tokens[:, 0, 0], np.arange(1, steps + 1))
        np.testing.assert_array_equal(thoughts.tokens[:, 0, 1], puzzle % 20 + 1)
        np.testing.assert_array_equal(thoughts.tokens[-1, 0], answers.tokens[puzzle])
        assert thoughts.confidence[-1, 0] == answers.confidence[puzzle]
        assert thoughts.wants_to_halt.shape == (steps, 1)
        assert thoughts.cell_confidence.dtype == np.float32


def test_attempts_are_kept_apart():
    def soon(inputs, tokens):
        return verify(inputs, tokens) & (inputs[:, 0] < 9)

    engine = dataclasses.replace(ENGINE, verify=soon)
    journal = Journal()
    some = puzzles([2, 30, 30, 1])
    first = solve_stream(engine, VARIABLES, some, watch=journal)
    config = SearchConfig(attempts=3, symmetries=False, noise=2.0, max_steps=4)
    found = search(engine, VARIABLES, some, first, config, watch=journal)
    np.testing.assert_array_equal(found.attempts, [1, 4, 4, 1])
    np.testing.assert_array_equal(found.attempt, [0, 0, 0, 0])  # none is surer than the first
    for puzzle in (1, 2):
        draws = []
        for attempt in range(4):
            tokens = journal.thoughts(puzzle, attempt).tokens
            assert len(tokens) == (4 if attempt else 9)
            assert len(set(tokens[:, 0, 2])) == 1
            draws.append(tokens[0, 0, 2])
        assert draws[0] == 0
        assert (np.array(draws[1:]) > 0).all()
    with pytest.raises(KeyError, match="attempt 1 at puzzle 0 is not in the journal"):
        journal.thoughts(0, 1)


def test_the_attempt_of_an_answer_is_the_one_that_found_it():
    def sees_noise(inputs, tokens):
        return tokens[:, 2] > 0

    engine = dataclasses.replace(ENGINE, verify=sees_noise)
    journal = Journal()
    some = puzzles([30, 30])
    first = solve_stream(engine, VARIABLES, some, watch=journal)
    config = SearchConfig(attempts=3, symmetries=False, noise=2.0)
    found = search(engine, VARIABLES, some, first, config, watch=journal)
    np.testing.assert_array_equal(found.attempt, [1, 1])
    tokens = journal.thoughts(1, 1).tokens
    np.testing.assert_array_equal(tokens[-1, 0], found.tokens[1])


def test_an_engine_that_does_not_observe_tells_nothing():
    journal = Journal()
    engine = dataclasses.replace(ENGINE, observe=None)
    solve_stream(engine, VARIABLES, puzzles(DUE), watch=journal)
    with pytest.raises(KeyError, match="pass the journal as watch, to an engine with observe="):
        journal.thoughts(0, 0)


def test_what_the_engine_records_is_what_thinking_gives():
    sizes = {"seq_len": 4, "puzzle_emb_ndim": 0, "hidden_size": 8, "num_heads": 2}
    model = PuzzleModel(hrm(**sizes, expansion=1.0, H_layers=1, L_layers=1, halt_max_steps=5))
    variables = model.init(jax.random.key(0))
    some = np.random.default_rng(2).integers(1, 11, (6, 4)).astype(np.uint8)
    config = EngineConfig(4, (), max_steps=5, stop_when_valid=False)
    journal = Journal()
    solve_stream(Engine(model, config, observe=thoughts_of), variables, some, watch=journal)
    inputs = jnp.asarray(some, jnp.int32)
    expected = think(model, variables, Batch(inputs, inputs, jnp.zeros(6, jnp.int32)))
    for puzzle in range(6):
        found = journal.thoughts(puzzle, 0)
        for name in ("tokens", "wants_to_halt"):
            row = getattr(expected, name)[:, puzzle]
            np.testing.assert_array_equal(getattr(found, name)[:, 0], row)
        for name in ("confidence", "cell_confidence"):
            row = getattr(expected, name)[:, puzzle]
            np.testing.assert_allclose(getattr(found, name)[:, 0], row, rtol=1e-4)
