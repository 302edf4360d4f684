"""Text of cells: what separates them, which are blank, and why a text is no puzzle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.sudoku import cell_text, rules


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("5 3 . | . 7 . | . . .", "53..7...."),
        ("[5, 3, 0, 0, 7, 0, 0, 0, 0],", "530070000"),
        ("5,3,,,7,,,,", "53..7...."),
        (",,,,,,,,", "........."),
        (",,,,,,,,,", "........."),
        (";3;;;7;;;;", ".3..7...."),
        ("\t3\t\t\t7\t\t\t\t", ".3..7...."),
        ("|5| |3| |7| | | |1|", "5.3.7...1"),
        ("│53.│.7.│...│", "53..7...."),
        ("['5', 'x', '3', 'x', '7', 'x', '1', 'x', 'x']", "5x3x7x1xx"),
        ("1,2,3,4,5,6,7,8,9,1", "1234567891"),
        ("10 2 . 16 " + 12 * "0 ", "A2.A" + 12 * "0"),
        ("", ""),
    ],
)
def test_a_character_stands_for_each_cell(text, cells):
    assert cell_text.compact(text) == cells


@given(st.lists(st.text("123456789" + cell_text.BLANKS + "kA٣é", min_size=80, max_size=82)))
def test_many_are_read_as_each_is(texts):
    grids, usable = cell_text.parse_many(texts)
    assert grids.shape == (len(texts), 81)
    for text, grid, fits in zip(texts, grids, usable, strict=True):
        assert fits == (len(text) == 81 and cell_text.are_cells(text))
        plain = "".join("0" if c in cell_text.BLANKS else c for c in text) if fits else 81 * "0"
        np.testing.assert_array_equal(grid, rules.parse(plain))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("1" * 80, "has 81 characters, row by row, but this one has 80: add or remove"),
        ("1" * 162, "this one has 162"),
        ("1" * 9 + "k" + "1" * 71, "character 10 is 'k': replace it"),
        ("1" * 256, "a puzzle of 16x16 cells; the sizes that can be solved are: 9x9"),
        ("1k" * 128, "a puzzle of 16x16"),
    ],
)
def test_what_is_no_puzzle_is_explained(cells, message):
    assert message in cell_text.explain(cells)


def test_rows_with_candidates_are_known():
    assert cell_text.has_candidates("| 5 3 124 | 26 7 2468 | 1 2 3 |")
    assert not cell_text.has_candidates("5 3 1 2 7 4 1 2 3")
    assert not cell_text.has_candidates("53 7")
