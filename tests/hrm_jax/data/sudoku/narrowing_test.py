"""What the rules leave open: never less than the solution, and nothing at a contradiction."""

import numpy as np

from hrm_jax.data.sudoku import narrowing, puzzle_files, rules
from hrm_jax.data.sudoku.bank import shipped_file

with shipped_file("validation").open("rb") as file:
    PUZZLES = puzzle_files.read_stream(file, "bank")
QUESTIONS = rules.encode(PUZZLES.questions[:200])
ANSWERS = rules.encode(PUZZLES.answers[:200])
CELLS = np.arange(rules.NUM_CELLS)


def test_openings_are_the_given_or_every_digit():
    allowed = narrowing.openings(QUESTIONS[0])
    given = QUESTIONS[0] > rules.BLANK_TOKEN
    assert (allowed.sum(-1) == np.where(given, 1, 9)).all()
    assert allowed[CELLS, ANSWERS[0]].all()
    assert not allowed[:, : rules.BLANK_TOKEN + 1].any()


def test_the_solution_is_never_excluded_and_the_rest_only_shrinks():
    before = np.stack([narrowing.openings(question) for question in QUESTIONS])
    after, possible = narrowing.narrow(before)
    assert possible.all()
    assert np.take_along_axis(after, ANSWERS[..., None].astype(int), -1).all()
    assert not (after & ~before).any()
    again, _ = narrowing.narrow(after)
    np.testing.assert_array_equal(again, after)


def test_puzzles_that_need_no_guess_are_decided_and_others_are_not():
    left, _ = narrowing.narrow(np.stack([narrowing.openings(question) for question in QUESTIONS]))
    decided = left.sum((1, 2)) == rules.NUM_CELLS
    np.testing.assert_array_equal(decided, PUZZLES.ratings[:200] == 0)


def test_contradictions_are_told_and_touch_no_other_puzzle():
    twice, sound, empty = (narrowing.openings(QUESTIONS[0]) for _ in range(3))
    twice[0] = twice[1] = np.arange(rules.VOCABULARY_SIZE) == 5
    empty[7] = False
    left, possible = narrowing.narrow(np.stack([twice, sound, empty]))
    assert possible.tolist() == [False, True, False]
    np.testing.assert_array_equal(left[1], narrowing.narrow(sound[None])[0][0])
