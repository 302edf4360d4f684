"""Fill-in-the-middle: a moved middle, found again."""

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.core.protocols import InfillingTokens, Marker
from hrm_jax.core.texts import FilePlace
from hrm_jax.data.text import infilling
from hrm_jax.data.text.tokenizers import ByteTokenizer

MARKS = InfillingTokens(prefix=901, suffix=902, middle=903)


def test_the_suffix_comes_first_where_the_model_was_trained_so():
    marks = InfillingTokens(901, 902, 903, both_orders=True)
    parts = infilling.around_hole([1, 2], [3], marks, suffix_first=True)
    assert [token for part in parts for token in part] == [901, 902, 3, 903, 1, 2]
    with pytest.raises(ValueError, match="trained on both orders"):
        infilling.around_hole([1, 2], [3], MARKS, suffix_first=True)


def test_without_a_mark_of_the_middle_the_suffix_comes_first():
    marks = InfillingTokens(prefix=901, suffix=902, middle=None)
    marked = infilling.with_hole(np.arange(6, dtype=np.int32), (1, 4), marks)
    assert marked.tolist() == [902, 4, 5, 901, 0, 1, 2, 3]


def test_parts_stand_behind_their_marks():
    marked = infilling.with_hole(np.arange(6, dtype=np.int32), (1, 4), MARKS)
    assert marked.tolist() == [901, 0, 902, 4, 5, 903, 1, 2, 3]
    assert marked.dtype == np.int32


@given(length=st.integers(0, 50), seed=st.integers(0, 99))
def test_putting_the_middle_back_gives_the_text(length, seed):
    tokens = np.arange(length)
    hole = infilling.draw_hole(np.random.default_rng(seed), length)
    marked = infilling.with_hole(tokens, hole, MARKS).tolist()
    suffix = marked.index(MARKS.suffix)
    middle = marked.index(MARKS.middle)
    assert len(marked) == length + infilling.MOST_MARKS
    assert marked[0] == MARKS.prefix
    whole = marked[1:suffix] + marked[middle + 1 :] + marked[suffix + 1 : middle]
    assert whole == tokens.tolist()


def test_files_stand_behind_their_marks():
    files = [("a.py", "x = 1"), ("b.py", "")]
    plain = ByteTokenizer()
    tokens = infilling.neighbour_tokens(plain, files)
    assert tokens == [plain.encode("x = 1\n\n"), plain.encode("\n\n")]
    marked = ByteTokenizer()
    marked.markers = MappingProxyType({"<|file_sep|>": Marker(7, special=True)})
    a, b, begin = infilling.neighbour_tokens(marked, files)
    assert a == [7, *plain.encode("a.py\nx = 1\n")]
    assert b == [7, *plain.encode("b.py\n\n")]
    assert begin == [7, *plain.encode("\n")]
    assert infilling.neighbour_tokens(marked, []) == []


def test_a_file_with_a_hole_is_told_where_it_lies():
    place = FilePlace("a/b.py", "demo")
    marked = ByteTokenizer()
    marks = {"<|file_sep|>": Marker(7, special=True), "<|repo_name|>": Marker(8, special=True)}
    marked.markers = MappingProxyType(marks)
    project, own = infilling.neighbour_tokens(marked, [], place)
    assert project == [8, *marked.encode("demo\n")]
    assert own == [7, *marked.encode("a/b.py\n")]
    parts = infilling.neighbour_tokens(marked, [("c.py", "x")], place)
    assert parts == [project, [7, *marked.encode("c.py\nx\n")], own]
    # Each may be told alone.
    assert infilling.neighbour_tokens(marked, [], FilePlace("a/b.py")) == [own]
    assert infilling.neighbour_tokens(marked, [], FilePlace(project="demo")) == []
    assert infilling.neighbour_tokens(ByteTokenizer(), [], place) == []


def test_holes_reach_every_place():
    rng = np.random.default_rng(0)
    holes = {infilling.draw_hole(rng, 3) for _ in range(400)}
    assert holes == {(a, b) for a in range(4) for b in range(a, 4)}


def test_a_text_ends_at_marks_of_files_and_holes_too():
    assert infilling.end_tokens(ByteTokenizer()) == (256, 257, 258, 259)

    class Marked(ByteTokenizer):
        infilling = None
        markers = MappingProxyType({"<|file_sep|>": Marker(7, True), "<other>": Marker(8, True)})

    assert infilling.end_tokens(Marked()) == (256, 7)
