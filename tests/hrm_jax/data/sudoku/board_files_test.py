"""Puzzles of other sizes as people write them."""

import numpy as np
import pytest

from hrm_jax.data.sudoku import board_files, board_generator, rules
from hrm_jax.data.sudoku.board_files import (
    BoxShapeError,
    board_of,
    parse_box,
    read_boards,
    side_of,
)
from hrm_jax.data.sudoku.boards import Board, format_grid
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError

SIXTEEN = Board(4, 4)
PUZZLE = board_generator.generate(np.random.default_rng(0), SIXTEEN, "singles", 1).questions[0]
ROWS = PUZZLE.reshape(16, 16)


def written(signs, blank, between=" "):
    """The puzzle as rows, with a sign for each digit from 1."""
    text = [[blank if cell == 0 else signs[cell - 1] for cell in row] for row in ROWS.tolist()]
    return "\n".join(between.join(row) for row in text)


FORMS = {
    "a line": format_grid(PUZZLE, SIXTEEN),
    "rows": written("123456789ABCDEFG", ".", ""),
    "small letters": written("123456789abcdefg", "0", ""),
    "hexadecimal": written("0123456789ABCDEF", "."),
    "numbers": written([str(digit) for digit in range(1, 17)], "-"),
    "numbers and zeros": written([str(digit) for digit in range(1, 17)], "0", ", "),
    "frames": "\n".join(
        "+--+\n" * (row % 4 == 0) + f"| {line} |"
        for row, line in enumerate(written("123456789ABCDEFG", "_").splitlines())
    ),
    "comments": "# a puzzle\n\n" + written("123456789ABCDEFG", "*"),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_puzzle_of_sixteen_rows_is_read(text):
    assert side_of(text) == 16
    np.testing.assert_array_equal(read_boards(text, board_of(16, None), "text"), [PUZZLE])


def test_letters_alone_are_the_digits_of_25_rows():
    board = Board(5, 5)
    grid = np.arange(625, dtype=np.uint8) % 26
    text = "".join("." if digit == 0 else chr(64 + digit) for digit in grid)
    assert side_of(text) == 25
    np.testing.assert_array_equal(read_boards(text, board, "text"), [grid])
    text = format_grid(grid, board)
    np.testing.assert_array_equal(read_boards(text, board, "text"), [grid])


def test_sixteen_small_puzzles_are_no_large_one():
    lines = "\n".join(["1..2..3..4...1.."] * 16)
    assert side_of(lines) == 4
    assert side_of(lines.replace("4", "5")) == 16
    assert side_of("1..2\n..3.\n.4..\n...1") == 4


@pytest.mark.parametrize(
    "text", ["", 81 * ".", ".........\n" * 9, "12\n123", "53..7....6..195", 324 * "."]
)
def test_what_is_of_nine_rows_or_nothing_is_left_to_others(text):
    assert side_of(text) is None


def test_boxes_are_named_where_their_shape_is_not_known():
    assert parse_box(" 2 x 3 ") == (2, 3)
    assert board_of(4, None) == Board(2, 2)
    assert board_of(12, (2, 6)) == Board(2, 6)
    with pytest.raises(BoxShapeError, match="2x6 or 3x4 or 4x3 or 6x2 cells; say which") as open_:
        board_of(12, None)
    assert open_.value.shapes == [(2, 6), (3, 4), (4, 3), (6, 2)]
    with pytest.raises(rules.PuzzleError, match=r"expected 12 cells in a box, .* got 2x3"):
        board_of(12, (2, 3))
    for text in ("", "2", "2x", "0x3", "6x5", "axb"):
        with pytest.raises(rules.PuzzleError, match="expected rows x columns of a box"):
            parse_box(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234\n3412\n2143", "expected puzzles of 4 rows, got 3 rows at the end"),
        ("1234\n341\n2143\n4321", "line 2: expected 4 cells of a row or 16 of a puzzle, got 3"),
        ("1234\n34X2\n2143\n4321", "line 2: expected digits 1-4 or one of .* got 'X'"),
        ("1234\n" + 16 * ".", "line 2: a puzzle begins before the one above it has 4 rows"),
    ],
)
def test_errors_name_the_line(text, message):
    with pytest.raises(PuzzleFileError, match=f"^file.*{message}"):
        read_boards(text, Board(2, 2), "file")


def test_random_text_is_read_or_refused():
    rng = np.random.default_rng(0)
    signs = list("0123456789ABCDEFG.-_ \n,|#x%é")
    for _ in range(500):
        text = "".join(rng.choice(signs, rng.integers(0, 60)))
        side = side_of(text)
        if side is None or side not in board_files.SHAPES:
            continue
        try:
            grids = read_boards(text, board_of(side, None), "text")
        except PuzzleFileError:
            continue
        assert grids.shape[1] == side**2
        assert grids.max() <= side
