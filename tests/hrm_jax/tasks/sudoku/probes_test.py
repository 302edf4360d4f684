import numpy as np

from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.boards import Board
from hrm_jax.tasks.sudoku.probes import format_tokens


def test_tokens_that_are_no_digits_are_blanks():
    tokens = np.arange(81) % (rules.VOCABULARY_SIZE + 1)
    text = format_tokens(tokens)
    assert len(text) == rules.NUM_CELLS
    assert text[: rules.VOCABULARY_SIZE + 1] == "..123456789."


def test_digits_beyond_nine_are_letters():
    board = Board(4, 4)
    tokens = np.full(board.num_cells, board.vocabulary_size)
    tokens[:18] = np.arange(18)
    assert format_tokens(tokens, board) == "..123456789ABCDEFG" + 238 * "."
