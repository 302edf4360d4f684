from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.core.protocols import Marker
from hrm_jax.core.texts import FilePlace
from hrm_jax.serving.hole_context import around_hole_within, neighbours_within, place_within
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

TOKENIZER = ByteTokenizer()
TEXTS = st.text(st.sampled_from("ab\né"), max_size=60)


@given(TEXTS, TEXTS, st.integers(4, 150))
def test_what_is_nearest_to_the_hole_stays(prefix, suffix, room):
    before, behind = around_hole_within(TOKENIZER, prefix, suffix, room)
    assert prefix.endswith(before)
    assert suffix.startswith(behind)
    assert len(before.encode()) + len(behind.encode()) <= room
    if len(prefix.encode()) + len(suffix.encode()) <= room:
        assert (before, behind) == (prefix, suffix)


def test_whole_lines_are_left_out():
    prefix = "first\nsecond\nthird"
    assert around_hole_within(TOKENIZER, prefix, "", 15) == ("second\nthird"[-12:], "")
    assert around_hole_within(TOKENIZER, "", prefix, 15) == ("", "first\nsecond\n"[:13])
    # A quarter is the suffix's.
    assert around_hole_within(TOKENIZER, "x" * 100, "y" * 100, 40) == ("x" * 30, "y" * 10)


def test_the_last_files_that_fit_stay():
    files = [("a", "1" * 10), ("b", "2" * 10), ("c", "3" * 10)]
    assert neighbours_within(TOKENIZER, files, 100) == tuple(files)
    assert neighbours_within(TOKENIZER, files, 25) == tuple(files[1:])
    assert neighbours_within(TOKENIZER, files, 5) == ()


def test_where_a_file_lies_is_told_if_there_is_room():
    tokenizer = ByteTokenizer()
    tokenizer.markers = MappingProxyType({"<|file_sep|>": Marker(7, special=True)})
    place = FilePlace("a" * 20)
    assert place_within(tokenizer, place, 22) == place
    assert place_within(tokenizer, place, 21) == FilePlace()
