"""Search: who is tried again, how often, and which attempt is the answer."""

import dataclasses

import numpy as np
import pytest

from hrm_jax.inference.config import EngineConfig, SearchConfig
from hrm_jax.inference.engine import Engine
from hrm_jax.inference.search import is_solved, search
from hrm_jax.inference.stream import solve_stream
from hrm_jax.inference.tree import Branching
from tests.hrm_jax.inference.clockwork import VARIABLES, Clockwork, V, puzzles, verify

CONFIG = EngineConfig(batch_size=4, tail_batch_sizes=(), max_steps=3, steps_per_dispatch=2)
ENGINE = Engine(Clockwork(), CONFIG, verify)
UNSURE = Engine(Clockwork(), dataclasses.replace(CONFIG, stop_when_valid=False), None)


class Sooner:
    """Symmetry number n: the puzzle is due n steps earlier, and its payload is one more."""

    def __call__(self, tokens, numbers, seed):
        moved = tokens.copy()
        moved[:, 0] -= np.minimum(moved[:, 0], numbers).astype(tokens.dtype)
        moved[:, 1] += seed + 1
        return moved

    def inverse(self, tokens, numbers, seed):
        back = tokens.copy()
        back[:, 1] -= seed + 1
        return back


def searched(due, *, engine=ENGINE, order=slice(None), **settings):
    some = puzzles(due)[order]
    first = solve_stream(engine, VARIABLES, some)
    config = SearchConfig(**settings)
    return first, search(engine, VARIABLES, some, first, config, symmetries=Sooner())


DUE = [1, 5, 3, 4, 7, 30, 2, 6, 0]
"""Solved at attempt max(0, due - 3); never for 30, which is too far, and 0."""


def test_each_puzzle_gets_the_attempts_that_it_needs():
    first, found = searched(DUE, attempts=4)
    np.testing.assert_array_equal(first.valid, [1, 0, 1, 0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(found.valid, [1, 1, 1, 1, 1, 0, 1, 1, 0])
    np.testing.assert_array_equal(found.attempts, [1, 3, 1, 2, 5, 5, 1, 4, 5])
    np.testing.assert_array_equal(found.steps, [1, 9, 3, 6, 15, 15, 2, 12, 15])
    # The payload comes back through the inverse.
    np.testing.assert_array_equal(found.tokens[:, 1], puzzles(DUE)[:, 1])


def test_what_is_solved_stays_and_the_first_answers_are_not_touched():
    first, found = searched(DUE, attempts=4)
    again = solve_stream(ENGINE, VARIABLES, puzzles(DUE))
    for field in dataclasses.fields(first):
        one = getattr(first, field.name)
        same = getattr(again, field.name)
        np.testing.assert_array_equal(one, same)
        np.testing.assert_array_equal(getattr(found, field.name)[first.valid], one[first.valid])


def test_a_budget_of_steps_ends_the_attempts():
    _, found = searched(DUE, attempts=9, steps=11)  # three attempts of three steps each
    np.testing.assert_array_equal(found.valid, [1, 1, 1, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(found.steps, [1, 9, 3, 6, 9, 9, 2, 9, 9])


def test_further_attempts_may_be_longer_or_shorter_than_the_first():
    # With five steps instead of three, attempt n solves what is due at step n + 5.
    _, found = searched(DUE, attempts=2, max_steps=5)
    np.testing.assert_array_equal(found.attempts, [1, 2, 1, 2, 3, 3, 1, 2, 3])
    np.testing.assert_array_equal(found.steps, [1, 7, 3, 6, 13, 13, 2, 8, 13])
    _, found = searched(DUE, attempts=2, max_steps=2, steps=5)  # 3 + 2
    np.testing.assert_array_equal(found.steps, [1, 5, 3, 5, 5, 5, 2, 5, 5])


def test_further_attempts_may_end_before_the_first_might():
    config = dataclasses.replace(CONFIG, min_steps=3)
    engine = dataclasses.replace(ENGINE, config=config)
    _, found = searched([30], engine=engine, attempts=1, max_steps=2)
    np.testing.assert_array_equal(found.steps, [3 + 2])


class Assuming:
    """Assumption number n: due 2 n steps earlier, if that is what the first attempt proposed."""

    def __call__(self, tokens, proposals, numbers, seed):
        moved = tokens.copy()
        seen = proposals[:, 0] == CONFIG.max_steps  # a proposal counts the steps before it
        moved[:, 0] -= np.where(seen, 2 * numbers + seed, 0).astype(tokens.dtype)
        return moved


def test_assumptions_are_made_of_the_first_proposal():
    some = puzzles([8, 6])
    first = solve_stream(ENGINE, VARIABLES, some)
    config = SearchConfig(attempts=4, symmetries=False, assume=True)
    found = search(ENGINE, VARIABLES, some, first, config, assumptions=Assuming())
    np.testing.assert_array_equal(found.attempts, [4, 3])
    np.testing.assert_array_equal(found.steps, [11, 8])
    config = dataclasses.replace(config, seed=3)
    found = search(ENGINE, VARIABLES, some, first, config, assumptions=Assuming())
    np.testing.assert_array_equal(found.attempts, [2, 2])


def test_no_attempts_change_nothing():
    first, found = searched(DUE, attempts=0)
    np.testing.assert_array_equal(found.attempts, first.attempts)
    np.testing.assert_array_equal(found.tokens, first.tokens)


def test_the_order_of_puzzles_does_not_matter():
    order = np.array([4, 8, 0, 2, 6, 1, 7, 3, 5])
    _, expected = searched(DUE, attempts=4)
    _, shuffled = searched(DUE, attempts=4, order=order)
    for field in dataclasses.fields(expected):
        rows = getattr(expected, field.name)[order]
        np.testing.assert_array_equal(getattr(shuffled, field.name), rows)


def test_without_rules_the_surest_attempt_is_the_answer():
    # The head is sure of attempt 2 on; all attempts see the same payload, so the earliest wins.
    first, found = searched([5, 1], engine=UNSURE, attempts=4)
    assert (first.confidence < 0.5).tolist() == [True, False]
    assert (found.confidence > 0.5).all()
    np.testing.assert_array_equal(found.attempts, [5, 5])  # a threshold of 1 is never reached
    assert is_solved(UNSURE, found).tolist() == [False, False]
    sure = dataclasses.replace(UNSURE.config, halt_confidence=0.5)
    _, found = searched([5, 1], engine=dataclasses.replace(UNSURE, config=sure), attempts=4)
    np.testing.assert_array_equal(found.attempts, [3, 1])


def test_a_valid_answer_beats_a_surer_one():
    class LessSure(Sooner):
        def __call__(self, tokens, numbers, seed):
            moved = super().__call__(tokens, numbers, seed)
            moved[:, 1] = 0
            return moved

    some = puzzles([4])
    first = solve_stream(ENGINE, VARIABLES, some)
    first.confidence[:] = 0.99
    found = search(ENGINE, VARIABLES, some, first, SearchConfig(attempts=2), symmetries=LessSure())
    assert found.valid.all()
    assert found.confidence < 0.9


def test_of_attempts_that_are_as_sure_the_earliest_is_the_answer():
    first, found = searched([30] * 3, attempts=3, symmetries=False, noise=0.5)
    np.testing.assert_array_equal(found.attempts, [4, 4, 4])
    np.testing.assert_array_equal(found.confidence, first.confidence)
    np.testing.assert_array_equal(found.tokens, first.tokens)  # noise would show in the others


def sees_noise(inputs, tokens):
    return tokens[:, 2] > 0


def test_noise_has_a_seed_and_spares_the_first_attempt():
    engine = dataclasses.replace(ENGINE, verify=sees_noise)
    some = puzzles([30] * 6)
    first = solve_stream(engine, VARIABLES, some)
    assert not first.valid.any()
    draws = []
    for seed in (0, 0, 1):
        config = SearchConfig(attempts=1, symmetries=False, noise=2.0, seed=seed)
        found = search(engine, VARIABLES, some, first, config)
        assert found.valid.all()
        draws.append(found.tokens[:, 2])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()
    assert len(set(draws[0])) == 1  # an attempt's state is the same for every puzzle


def never(inputs, tokens):
    return tokens[:, 0] < 0


def test_noise_differs_from_attempt_to_attempt():
    engine = Engine(Surest(), CONFIG, never)
    some = puzzles([30])
    first = solve_stream(engine, VARIABLES, some)
    settings = {"symmetries": False, "noise": 2.0}
    draws = [
        search(engine, VARIABLES, some, first, SearchConfig(attempts=n, **settings)).confidence[0]
        for n in (1, 2, 4, 8)
    ]
    assert draws == sorted(draws)
    assert len(set(draws)) > 1


class Surest(Clockwork):
    """As sure as its noise is large."""

    def think(self, *args):
        carry, outputs = super().think(*args)
        return carry, dataclasses.replace(outputs, q_halt_logits=carry.latents.z_L[:, 0, 0])


def test_progress_counts_the_puzzles_that_were_unsolved():
    told = []
    some = puzzles(DUE)
    first = solve_stream(ENGINE, VARIABLES, some)
    config = SearchConfig(attempts=2)
    search(ENGINE, VARIABLES, some, first, config, symmetries=Sooner(), progress=told.append)
    assert sum(told) == (~first.valid).sum()


def test_answers_belong_to_the_puzzles():
    first = solve_stream(ENGINE, VARIABLES, puzzles(DUE))
    with pytest.raises(ValueError, match="3 puzzles need as many first answers, but there are 9"):
        search(ENGINE, VARIABLES, puzzles(DUE)[:3], first, SearchConfig(), symmetries=Sooner())


@pytest.mark.parametrize(
    ("field", "name"), [("symmetries", "symmetries"), ("assume", "assumptions")]
)
def test_what_tells_attempts_apart_is_of_the_task(field, name):
    first = solve_stream(ENGINE, VARIABLES, puzzles(DUE))
    config = SearchConfig(attempts=1, **{"symmetries": False, field: True})
    with pytest.raises(ValueError, match=rf"{name} is None: pass those of the task"):
        search(ENGINE, VARIABLES, puzzles(DUE), first, config)


def test_without_rules_only_more_than_the_threshold_is_solved():
    first = solve_stream(UNSURE, VARIABLES, puzzles([1] * 3))
    threshold = np.float32(0.5)
    above, below = np.nextafter(threshold, np.float32([1, 0]))
    first.confidence[:] = [above, threshold, below]
    config = dataclasses.replace(UNSURE.config, halt_confidence=float(threshold))
    engine = dataclasses.replace(UNSURE, config=config)
    assert is_solved(engine, first).tolist() == [True, False, False]


def test_with_rules_the_head_is_not_asked():
    first = solve_stream(ENGINE, VARIABLES, puzzles([1, 30]))
    first.confidence[:] = [0, 1]
    assert is_solved(ENGINE, first).tolist() == [True, False]


def decided_as(step):
    """Rules that leave nothing open: the answer is [step, 7, 7]."""

    def narrow(allowed):
        decided = np.zeros_like(allowed)
        decided[:, np.arange(3), [step, 7, 7]] = True
        return decided, np.ones(len(allowed), bool)

    return Branching(lambda tokens: np.ones((len(tokens), V), bool), narrow)


@pytest.mark.parametrize(("step", "valid"), [(30, True), (29, False)])
def test_what_the_rules_lead_to_is_the_answer_if_it_passes_them(step, valid):
    some = puzzles([30])
    first = solve_stream(ENGINE, VARIABLES, some)
    config = SearchConfig(attempts=1, branch=True, symmetries=False)
    found = search(ENGINE, VARIABLES, some, first, config, branching=decided_as(step))
    assert found.valid.tolist() == [valid]
    assert (found.tokens[0].tolist() == [step, 7, 7]) == valid
    assert (found.shown[0].tolist() == [step, 7, 7]) == valid
    assert found.attempt.tolist() == [int(valid)]
