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
    for question, answer in zip(QUESTIONS, ANSWERS, strict=True):
        before = narrowing.openings(question)
        after = narrowing.narrow(before)
        assert after is not None
        assert after[CELLS, answer].all()
        assert not (after & ~before).any()
        np.testing.assert_array_equal(narrowing.narrow(after), after)


def test_puzzles_that_need_no_guess_are_decided_and_others_are_not():
    for question, rating in zip(QUESTIONS, PUZZLES.ratings, strict=False):
        left = narrowing.narrow(narrowing.openings(question))
        assert (left.sum() == rules.NUM_CELLS) == (rating == 0)


def test_a_contradiction_is_none():
    twice = narrowing.openings(QUESTIONS[0])
    twice[0] = twice[1] = np.arange(rules.VOCABULARY_SIZE) == 5
    assert narrowing.narrow(twice) is None
    empty = narrowing.openings(QUESTIONS[0])
    empty[7] = False
    assert narrowing.narrow(empty) is None
