"""Text, units, conflicts, solutions and tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hrm_jax.data.sudoku import rules

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"

grids = npst.arrays(np.uint8, 81, elements=st.integers(0, 9))


@given(grids)
def test_parse_inverts_format(grid):
    np.testing.assert_array_equal(rules.parse(rules.format_grid(grid)), grid)


@given(grids)
def test_decode_inverts_encode(grid):
    tokens = rules.encode(grid)
    assert tokens.min() >= rules.BLANK_TOKEN
    assert tokens.max() < rules.VOCABULARY_SIZE
    np.testing.assert_array_equal(rules.decode(tokens), grid)


def test_parse_takes_zeros_and_dots_and_outer_space():
    np.testing.assert_array_equal(
        rules.parse(PUZZLE), rules.parse(f" {PUZZLE.replace('.', '0')}\n")
    )
    assert rules.parse(PUZZLE)[:5].tolist() == [5, 3, 0, 0, 7]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=90))
def test_parse_accepts_a_grid_or_says_what_is_wrong(text):
    stripped = text.strip()
    if len(stripped) == 81 and set(stripped) <= set("0123456789."):
        assert rules.format_grid(rules.parse(text)) == stripped.replace("0", ".")
    else:
        with pytest.raises(rules.PuzzleError, match="puzzle"):
            rules.parse(text)


def test_parse_names_the_length():
    with pytest.raises(rules.PuzzleLengthError, match=r"81 characters.*has 80"):
        rules.parse(PUZZLE[:-1])


@pytest.mark.parametrize("stray", ["x", "-", "٣", " ", "²"])
def test_parse_names_the_position_of_a_stray_character(stray):
    with pytest.raises(rules.PuzzleCharacterError, match="character 4 is"):
        rules.parse(PUZZLE[:3] + stray + PUZZLE[4:])


def test_units_and_peers():
    assert rules.UNITS.shape == (27, 9)
    np.testing.assert_array_equal(np.bincount(rules.UNITS.ravel()), np.full(81, 3))
    np.testing.assert_array_equal(rules.IS_PEER, rules.IS_PEER.T)
    assert not rules.IS_PEER.diagonal().any()
    for cell, peers in enumerate(rules.PEERS):
        row, column = divmod(cell, 9)
        for other in range(81):
            r, c = divmod(other, 9)
            shares = r == row or c == column or (r // 3, c // 3) == (row // 3, column // 3)
            assert (other in peers) == (shares and other != cell)


@given(grids)
def test_conflicts_are_equal_digits_among_peers(grid):
    equal = (grid[:, None] == grid[None, :]) & rules.IS_PEER & (grid[:, None] != 0)
    np.testing.assert_array_equal(rules.conflicts(grid), equal.any(axis=1))


def test_conflicts_takes_batches():
    grid = rules.parse(PUZZLE)
    broken = grid.copy()
    broken[2] = 5
    np.testing.assert_array_equal(
        rules.conflicts(np.stack([grid, broken])).sum(axis=1), [0, rules.conflicts(broken).sum()]
    )


def test_require_consistent_names_the_cells():
    rules.require_consistent(rules.parse(PUZZLE))
    with pytest.raises(rules.ConflictingGivensError, match="r1c1=5, r9c1=5"):
        rules.require_consistent(rules.parse("5" + 71 * "." + "5" + 8 * "."))


def test_is_solution():
    puzzle = rules.parse(PUZZLE)
    solution = rules.parse(SOLUTION)
    swapped = solution.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    other_digits = rules.parse(SOLUTION.translate(str.maketrans("12", "21")))
    out_of_range = np.where(solution == 9, 10, solution).astype(np.uint8)
    candidates = np.stack([solution, swapped, other_digits, puzzle, out_of_range])
    np.testing.assert_array_equal(
        rules.is_solution(candidates, puzzle), [True, False, False, False, False]
    )
    # Without givens only the units tell, those of each grid by themselves.
    np.testing.assert_array_equal(
        rules.is_solution(np.stack([other_digits, swapped]), np.zeros_like(puzzle)), [True, False]
    )


def test_as_grid_checks_shape_dtype_and_range():
    with pytest.raises(rules.PuzzleLengthError, match=r"shape \(9, 9\)"):
        rules.as_grid(np.zeros((9, 9), np.uint8))
    with pytest.raises(rules.PuzzleCharacterError, match="dtype float64"):
        rules.as_grid(np.zeros(81))
    with pytest.raises(rules.PuzzleCharacterError, match="r2c1 holds -1"):
        rules.as_grid(np.where(np.arange(81) == 9, -1, 0))
    with pytest.raises(rules.PuzzleCharacterError, match="r9c9 holds 10"):
        rules.format_grid(np.where(np.arange(81) == 80, 10, 0).astype(np.uint8))


@pytest.mark.parametrize("token", [rules.PAD_TOKEN, 11, -100])
def test_decode_refuses_tokens_that_are_no_cells(token):
    with pytest.raises(rules.PuzzleCharacterError, match=f"but {token} occurs"):
        rules.decode(np.where(np.arange(81) < 2, token, 1))


def test_candidates_are_the_digits_of_the_cells():
    grid = rules.CANDIDATES
    assert (grid.num_cells, grid.num_symbols, grid.num_candidates) == (81, 9, 729)
    assert grid.weight_names == ("line", "box", "cell", "segment")


def test_relations_of_candidates_are_those_of_the_rules():
    """Groups of each relation, as cells that hold one digit, or digits of one cell."""
    grid = rules.CANDIDATES
    cells = np.arange(81).repeat(9).reshape(grid.sizes)
    rows, columns, boxes = (rules.UNITS[first : first + 9] for first in (0, 9, 18))
    segments = {
        "cells shared by a row and a box": [
            row[3 * n : 3 * n + 3] for row in rows for n in range(3)
        ],
        "cells shared by a column and a box": [
            column[3 * n : 3 * n + 3] for column in columns for n in range(3)
        ],
    }
    expected = {"row": rows, "column": columns, "box": boxes} | segments
    for relation in grid.relations:
        places = grid.positions(relation)
        rest = [axis for axis in range(len(grid.sizes)) if axis not in places]
        groups = cells.transpose(*rest, *places)
        groups = groups.reshape(-1, np.prod([grid.sizes[place] for place in places]))
        if relation.name == "cell":
            np.testing.assert_array_equal(groups, np.arange(81)[:, None].repeat(9, 1))
            continue
        found = {tuple(sorted(group)) for group in groups.tolist()}
        assert found == {tuple(sorted(map(int, group))) for group in expected[relation.name]}
        assert len(groups) == 9 * len(found)  # for each digit
