"""The engine: what leaves when, that nothing waits, and that nobody's answer depends on others."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh

from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Batch
from hrm_jax.inference.config import EngineConfig
from hrm_jax.inference.engine import Engine
from hrm_jax.inference.stream import solve_stream
from hrm_jax.inference.thinking import think, thoughts_of
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel
from tests.hrm_jax.inference import clockwork
from tests.hrm_jax.inference.clockwork import VARIABLES, Clockwork, puzzles, verify

DUE = np.random.default_rng(0).integers(1, 12, 50)
CONFIG = EngineConfig(batch_size=8, tail_batch_sizes=(4, 1), max_steps=9, steps_per_dispatch=3)


MODEL = Clockwork()


def answers_to(some, *, verify=verify, model=MODEL, **changes):
    engine = Engine(model, dataclasses.replace(CONFIG, **changes), verify)
    return solve_stream(engine, VARIABLES, some)


def assert_equal(found, expected):
    for field in dataclasses.fields(expected):
        left, right = (getattr(answers, field.name) for answers in (found, expected))
        np.testing.assert_array_equal(left, right, err_msg=field.name)


def test_every_step_of_every_puzzle_is_seen_and_no_other():
    engine = Engine(MODEL, CONFIG, verify, observe=thoughts_of)
    seen = collections.defaultdict(list)

    def watch(rows, attempts, thoughts):
        assert not attempts.any()
        for row, tokens in zip(rows.tolist(), thoughts.tokens.tolist(), strict=True):
            seen[row].append(tokens[0])  # the number of the step

    found = solve_stream(engine, VARIABLES, puzzles(DUE), watch=watch)
    assert seen == {row: [*range(1, steps + 1)] for row, steps in enumerate(found.steps)}


# When a puzzle leaves


def test_an_answer_carries_the_step_the_proposal_and_whether_it_is_valid():
    found = answers_to(puzzles(DUE))
    np.testing.assert_array_equal(found.steps, np.minimum(DUE, 9))
    np.testing.assert_array_equal(found.tokens[:, 0], np.minimum(DUE, 9))
    np.testing.assert_array_equal(found.tokens[:, 1], puzzles(DUE)[:, 1])
    np.testing.assert_array_equal(found.tokens[:, 2], np.zeros(50))
    np.testing.assert_array_equal(found.valid, DUE <= 9)
    np.testing.assert_array_equal(found.attempts, np.ones(50))
    sure = 1 / (1 + np.exp(-1 - 0.1 * puzzles(DUE)[:, 1]))
    unsure = 1 / (1 + np.exp(1))
    np.testing.assert_allclose(found.confidence, np.where(DUE <= 9, sure, unsure), rtol=1e-6)


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"max_steps": 30}, DUE),
        ({"min_steps": 5}, np.clip(DUE, 5, 9)),
        ({"stop_when_valid": False}, np.full(50, 9)),
        ({"stop_when_valid": False, "halt_confidence": 0.5}, np.minimum(DUE, 9)),
        ({"stop_when_valid": False, "halt_confidence": 0.0}, np.ones(50)),
        ({"max_steps": 1}, np.ones(50)),
    ],
    ids=["longer", "minimum", "full steps", "confidence", "any confidence", "one step"],
)
def test_the_rules_of_halting(changes, steps):
    np.testing.assert_array_equal(answers_to(puzzles(DUE), **changes).steps, steps)


def test_a_confidence_of_1_is_not_exceeded():
    @dataclasses.dataclass(frozen=True)
    class Certain(Clockwork):
        def think(self, *args):
            carry, outputs = super().think(*args)
            return carry, dataclasses.replace(outputs, q_halt_logits=outputs.q_halt_logits + 100)

    settings = {"stop_when_valid": False, "batch_size": 2, "tail_batch_sizes": ()}
    found = answers_to(puzzles(DUE[:2]), model=Certain(), halt_confidence=1.0, **settings)
    np.testing.assert_array_equal(found.confidence, [1, 1])
    np.testing.assert_array_equal(found.steps, [9, 9])


def test_a_proposal_that_stays_the_same_may_leave():
    def proposes_the_payload(carry, outputs):
        return dataclasses.replace(
            outputs, logits=outputs.logits.at[:, 0].set(outputs.logits[:, 1])
        )

    @dataclasses.dataclass(frozen=True)
    class Steady(Clockwork):
        def think(self, *args):
            carry, outputs = super().think(*args)
            return carry, proposes_the_payload(carry, outputs)

    settings = {"stop_when_valid": False, "stable_steps": 3, "model": Steady()}
    # The first proposal, and three more like it.
    np.testing.assert_array_equal(answers_to(puzzles(DUE), **settings).steps, np.full(50, 4))
    np.testing.assert_array_equal(
        answers_to(puzzles(DUE), **settings | {"model": Clockwork()}).steps, np.full(50, 9)
    )


def test_without_rules_nothing_is_valid():
    found = answers_to(puzzles(DUE), verify=None, stop_when_valid=False, halt_confidence=0.5)
    assert not found.valid.any()
    np.testing.assert_array_equal(found.steps, np.minimum(DUE, 9))


# Neighbours, order and batches


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize(
    ("sizes", "steps_per_dispatch"), [((1,), 4), ((3,), 1), ((64, 2), 50), ((16, 8, 4, 2, 1), 3)]
)
def test_answers_do_not_depend_on_the_batches(sizes, steps_per_dispatch):
    found = answers_to(
        puzzles(DUE),
        batch_size=sizes[0],
        tail_batch_sizes=sizes[1:],
        steps_per_dispatch=steps_per_dispatch,
    )
    assert_equal(found, answers_to(puzzles(DUE)))


def test_answers_do_not_depend_on_the_order():
    order = np.random.default_rng(1).permutation(50)
    expected = answers_to(puzzles(DUE))
    shuffled = answers_to(puzzles(DUE)[order])
    for field in dataclasses.fields(expected):
        rows = getattr(expected, field.name)[order]
        np.testing.assert_array_equal(getattr(shuffled, field.name), rows)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 9, 200])
def test_any_number_of_puzzles_is_answered_and_told(count):
    due = np.resize(DUE, count)
    told = []
    engine = Engine(Clockwork(), CONFIG, verify)
    found = solve_stream(engine, VARIABLES, puzzles(due), progress=told.append)
    assert len(found) == count
    np.testing.assert_array_equal(found.steps, np.minimum(due, 9))
    assert sum(told) == count


def test_identifiers_go_with_their_puzzles():
    identifiers = np.arange(50) % 7
    engine = Engine(Clockwork(), CONFIG, verify)
    found = solve_stream(engine, VARIABLES, puzzles(DUE), puzzle_identifiers=identifiers)
    np.testing.assert_array_equal(found.tokens[:, 1], puzzles(DUE)[:, 1] + identifiers)


# Speed


def slot_steps(due, **changes):
    """Steps of all slots together, free ones included."""
    clockwork.STEPS.clear()
    answers_to(puzzles(due), model=Clockwork(counted=True), **changes)
    jax.effects_barrier()
    return sum(clockwork.STEPS)


def test_easy_puzzles_do_not_wait_for_hard_ones():
    due = np.where(np.arange(96) % 8 == 0, 9, 1)  # one hard puzzle in every eight
    useful = due.sum()
    assert useful <= slot_steps(due) <= 1.1 * useful
    assert slot_steps(due, stop_when_valid=False) == 96 * 9


def test_the_tail_moves_to_smaller_batches():
    due = np.array([1] * 63 + [9])  # the hard one comes last
    assert slot_steps(due) == 64 + 8
    assert slot_steps(due, tail_batch_sizes=()) == 64 + 8 * 8


def test_a_few_puzzles_start_in_a_small_batch():
    assert slot_steps([5, 5, 5]) == 4 * 5
    assert slot_steps([7]) == 7


def test_each_batch_size_is_traced_once_for_any_number_of_puzzles():
    config = EngineConfig(batch_size=6, tail_batch_sizes=(2,), max_steps=9)
    engine = Engine(Clockwork(), config, verify)
    clockwork.TRACES.clear()
    engine.compile(VARIABLES, puzzles(DUE))
    traced = list(clockwork.TRACES)
    assert set(traced) == {(6, 3), (2, 3)}
    for count in (1, 3, 50):
        solve_stream(engine, VARIABLES, puzzles(DUE[:count]))
    assert traced == clockwork.TRACES


# A real model


SIZES = {"seq_len": 4, "puzzle_emb_ndim": 0, "hidden_size": 8, "num_heads": 2, "expansion": 1.0}
HRM = PuzzleModel(hrm(**SIZES, H_layers=1, L_layers=1, halt_max_steps=5))


@pytest.fixture(scope="module")
def variables():
    """Random values for everything, the Q head included."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        values = rng.standard_normal(leaf.shape) * leaf.shape[0] ** -0.5
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(HRM.init, jax.random.key(0)))


def random_puzzles(count):
    return np.random.default_rng(2).integers(1, 11, (count, 4)).astype(np.uint8)


def test_full_steps_are_what_thinking_gives(variables):
    some = random_puzzles(11)
    inputs = jnp.asarray(some, jnp.int32)
    thoughts = think(HRM, variables, Batch(inputs, inputs, jnp.zeros(11, jnp.int32)))
    config = EngineConfig(4, (2,), max_steps=5, stop_when_valid=False)
    found = solve_stream(Engine(HRM, config), variables, some)
    np.testing.assert_array_equal(found.tokens, thoughts.tokens[-1])
    np.testing.assert_allclose(found.confidence, thoughts.confidence[-1], rtol=1e-4)


def test_the_step_of_halting_is_that_of_the_head(variables):
    some = random_puzzles(40)
    inputs = jnp.asarray(some, jnp.int32)
    thoughts = think(HRM, variables, Batch(inputs, inputs, jnp.zeros(40, jnp.int32)))
    sure = np.asarray(thoughts.confidence) > 0.6
    steps = np.where(sure.any(0), sure.argmax(0) + 1, 5)
    assert len(set(steps)) > 1
    expected = np.asarray(thoughts.tokens)[steps - 1, np.arange(40)]
    for size in (16, 3):
        config = EngineConfig(size, (), 1, 5, stop_when_valid=False, halt_confidence=0.6)
        found = solve_stream(Engine(HRM, config), variables, some)
        np.testing.assert_array_equal(found.steps, steps)
        np.testing.assert_array_equal(found.tokens, expected)


def test_steps_may_go_beyond_those_of_training(variables):
    config = EngineConfig(4, (), max_steps=8, stop_when_valid=False)
    found = solve_stream(Engine(HRM, config), variables, random_puzzles(6))
    longer = PuzzleModel(dataclasses.replace(HRM.config, halt_max_steps=8))
    inputs = jnp.asarray(random_puzzles(6), jnp.int32)
    thoughts = think(longer, variables, Batch(inputs, inputs, jnp.zeros(6, jnp.int32)))
    np.testing.assert_array_equal(found.steps, np.full(6, 8))
    np.testing.assert_array_equal(found.tokens, thoughts.tokens[-1])


# Errors


def test_waiting_for_the_rules_needs_rules():
    with pytest.raises(ValueError, match="verify is None: pass verify, or set stop_when_valid"):
        Engine(Clockwork(), CONFIG)


def test_devices_share_every_batch_equally():
    three = AbstractMesh((3, 1), ("data", "model"))
    with pytest.raises(ValueError, match=r"multiples of the 3 devices .* but \[8, 4, 1\] are not"):
        Engine(Clockwork(), CONFIG, verify, three)


def test_every_puzzle_has_one_identifier():
    engine = Engine(Clockwork(), CONFIG, verify, make_mesh(MeshConfig(), jax.devices()[:1]))
    with pytest.raises(ValueError, match=r"50 puzzles need one identifier each, .* shape \(3,\)"):
        solve_stream(engine, VARIABLES, puzzles(DUE), puzzle_identifiers=np.zeros(3, np.int32))


def test_a_single_puzzle_needs_an_axis():
    engine = Engine(Clockwork(), CONFIG, verify)
    with pytest.raises(ValueError, match=r"\[N, T\], but these have \(3,\)"):
        solve_stream(engine, VARIABLES, puzzles(DUE)[0])
