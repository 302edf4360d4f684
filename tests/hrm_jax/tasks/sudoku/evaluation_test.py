"""What an evaluation reports, of a model that looks answers up and takes a known time over each."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh

from hrm_jax.core.config import ConfigError, replace
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Carry, Latents, Outputs, Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import generator, rules, symmetry
from hrm_jax.inference.config import SearchConfig
from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm
from hrm_jax.tasks.sudoku import evaluation
from hrm_jax.tasks.sudoku.evaluation import EvaluationConfig

N = 10
S = 6
PUZZLES = generator.generate(np.random.default_rng(0), N)
SOURCE = Source(
    inputs=rules.encode(PUZZLES.questions),
    labels=rules.encode(PUZZLES.answers),
    rating=np.arange(N, dtype=np.int32),
)
DUE = np.array([1, 2, 3, 1, 2, 3, 1, 2, 99, 99])
"""The step in which each is solved: all but two."""


@dataclasses.dataclass(frozen=True)
class LooksUp:
    """Its parameters are questions, answers, and the step from which it gives each answer."""

    config: PuzzleModelConfig = dataclasses.field(default_factory=lambda: hrm(halt_max_steps=S))

    def initial_carry(self, variables, batch):
        B = len(batch.inputs)
        state = jnp.zeros((B, 1, 1))
        steps = jnp.zeros(B, jnp.int32)
        return Carry(Latents(state, state), steps, jnp.ones(B, bool), batch)

    def think(self, variables, carry):
        steps = carry.steps + 1
        inputs = carry.data.inputs
        table = variables.params
        same = (inputs[:, None] == table["questions"][None]).all(-1)
        row = same.argmax(1)
        done = same.any(1) & (steps >= table["due"][row])
        proposal = jnp.where(done[:, None], table["answers"][row], inputs)
        q = jnp.where(done, 3.0, -3.0)
        carry = Carry(carry.latents, steps, steps >= S, carry.data)
        return carry, Outputs(jax.nn.one_hot(proposal, 11), q, jnp.zeros_like(q), None)

    def wants_to_halt(self, outputs):
        return outputs.q_halt_logits > outputs.q_continue_logits


def variables():
    """All puzzles, and the last also under the second symmetry that a search tries."""
    last = slice(N - 1, N)
    number = np.array([2])
    moved = [symmetry.NumberedSymmetries()(x[last], number, 0) for x in SOURCE_TOKENS]
    questions, answers = (np.concatenate(pair) for pair in zip(SOURCE_TOKENS, moved, strict=True))
    table = {"questions": questions, "answers": answers, "due": np.append(DUE, 4)}
    return Variables(jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), table), {}, None)


SOURCE_TOKENS = SOURCE.inputs, SOURCE.labels
MODEL = LooksUp()
MESH = make_mesh(MeshConfig(), jax.devices()[:1])


def evaluated(**settings):
    config = EvaluationConfig(**{"puzzles": 0, "batch_size": 4} | settings)
    told = []
    settings = MODEL, variables(), SOURCE, config, MESH
    report = evaluation.evaluate(*settings, told.append)
    assert sum(told) == len(report.results)
    if config.search.attempts:
        told.clear()
        report = evaluation.search_further(*settings, report, told.append)
        assert sum(told) == (~report.results.valid).sum()
    return report


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"halting": "steps"}, np.minimum(DUE, S)),  # when the head would have stopped
        ({"halting": "rules"}, np.minimum(DUE, S)),
        ({"halting": "confidence"}, np.minimum(DUE, S)),
        ({"halting": "rules", "max_steps": 9}, np.minimum(DUE, 9)),
        ({"halting": "steps", "max_steps": 9}, np.full(N, 9)),
    ],
)
def test_every_way_finds_the_same_answers(settings, steps):
    report = evaluated(**settings)
    np.testing.assert_array_equal(report.results.exact, DUE <= S)
    np.testing.assert_array_equal(report.results.valid, DUE <= S)
    np.testing.assert_array_equal(report.results.steps, steps)
    np.testing.assert_array_equal(report.results.rating, np.arange(N))
    assert report.search is None
    assert "search" not in report.as_dict()


def test_two_valid_steps_are_enough():
    report = evaluated(halting="rules", max_steps=2)
    np.testing.assert_array_equal(report.results.exact, DUE <= 2)
    blanks = (SOURCE.inputs == rules.BLANK_TOKEN).mean(-1)
    expected = np.where(DUE <= 2, 1, 1 - blanks)
    np.testing.assert_allclose(report.results.cell_accuracy, expected)


def test_a_band_goes_at_the_speed_of_its_steps():
    report = dataclasses.replace(evaluated(halting="rules"), seconds=2.0).as_dict()
    assert report["puzzles_per_second"] == 5
    steps_per_second = np.minimum(DUE, S).sum() / 2.0
    easy = report["by_rating"]["1-2"]  # two and three steps
    assert easy["puzzles_per_second"] == pytest.approx(steps_per_second / 2.5)
    full = dataclasses.replace(evaluated(halting="steps"), seconds=2.0).as_dict()
    assert all(band["puzzles_per_second"] == 5 for band in full["by_rating"].values())


@pytest.mark.parametrize("halting", ["rules", "steps"])
def test_search_is_reported_beside_the_single_pass(halting):
    report = evaluated(halting=halting, search=SearchConfig(attempts=3))
    np.testing.assert_array_equal(report.results.exact, DUE <= S)
    assert report.search is not None
    found = report.search.results
    np.testing.assert_array_equal(found.exact, [True] * 8 + [False, True])
    np.testing.assert_array_equal(report.search.answers.attempts, [1] * 8 + [4, 3])
    first = np.minimum(DUE, S) if halting == "rules" else np.full(N, S)
    last = 4 if halting == "rules" else S
    np.testing.assert_array_equal(found.steps - first, [0] * 8 + [3 * S, S + last])
    assert report.search.seconds > report.seconds
    shown = report.as_dict()
    assert (shown["exact_accuracy"], shown["search"]["exact_accuracy"]) == (0.8, 0.9)


def test_a_tree_of_assumptions_solves_what_the_model_never_does():
    tree = SearchConfig(attempts=200, max_steps=2, branch=True, symmetries=False)
    report = evaluated(halting="rules", max_steps=3, search=tree)
    assert report.search is not None
    found = report.search.answers
    assert report.search.results.exact.all()
    # What the model had solved took no attempt; what the rules decide takes a single step more.
    np.testing.assert_array_equal(found.attempts[:8], 1)
    np.testing.assert_array_equal(found.shown[:8], SOURCE.inputs[:8])
    easy = PUZZLES.ratings[8:] == 0
    np.testing.assert_array_equal(found.attempts[8:] == 2, easy)
    np.testing.assert_array_equal(found.shown[8:], SOURCE.labels[8:])


class Mute(LooksUp):
    """Proposes blanks, whatever it is shown: the rules have to do all of the work."""

    def think(self, variables, carry):
        carry, outputs = super().think(variables, carry)
        return carry, dataclasses.replace(outputs, logits=jnp.zeros_like(outputs.logits))


def test_what_the_rules_decide_is_an_answer_though_the_model_does_not_repeat_it():
    tree = SearchConfig(attempts=200, max_steps=2, branch=True, symmetries=False)
    config = EvaluationConfig(puzzles=0, batch_size=4, halting="rules", max_steps=1, search=tree)
    settings = Mute(), variables(), SOURCE, config, MESH
    report = evaluation.evaluate(*settings, lambda count: None)
    assert not report.results.exact.any()
    report = evaluation.search_further(*settings, report, lambda count: None)
    assert report.search is not None
    assert report.search.results.exact.all()
    np.testing.assert_array_equal(report.search.answers.tokens, SOURCE.labels)


@pytest.mark.parametrize(
    ("path", "value"), [("halting", "never"), ("max_steps", -1), ("search.attempts", -1)]
)
def test_what_cannot_be_measured_is_refused(path, value):
    with pytest.raises(ConfigError, match=rf"^{path}: expected .*, got '?{value}'?(;| )"):
        replace(EvaluationConfig(), {path: value})


def test_small_batches_serve_the_tail_where_devices_can_share_them():
    two = AbstractMesh((2, 1), ("data", "model"))
    sizes = {
        B: EvaluationConfig(batch_size=B).engine(MODEL, two).config.batch_sizes for B in (2, 8)
    }
    assert sizes == {2: (2,), 8: (8, 2)}
    sizes = EvaluationConfig(batch_size=256).engine(MODEL, two).config.batch_sizes
    assert sizes == (256, 64, 16)
    with pytest.raises(ConfigError, match="batch_size of an evaluation: expected a multiple of"):
        EvaluationConfig(batch_size=3).engine(MODEL, two)
