import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.text.holes import Hole
from hrm_jax.inference.text.transcripts import Filling, Transcript
from tests.hrm_jax.inference.text.tiny import END, ByteTokenizer

TEXTS = st.text(alphabet="abé€🙂\n", max_size=12)
STOPS = st.lists(st.text(alphabet="abé€🙂\n", min_size=1, max_size=3), max_size=3)


def cut(text: str, stop: list[str]) -> tuple[str, bool]:
    """Reads a text character by character until a stop sequence is complete."""
    for end in range(1, len(text) + 1):
        complete = [s for s in stop if text[:end].endswith(s)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


@given(TEXTS, STOPS, st.lists(st.integers(0, 60)))
def test_the_text_does_not_depend_on_where_its_tokens_are_cut(text, stop, cuts):
    tokens = ByteTokenizer().encode(text)
    transcript = Transcript(ByteTokenizer(), stop)
    borders = [0, *sorted(min(c, len(tokens)) for c in cuts), len(tokens)]
    pieces = [transcript.add(tokens[a:b]) for a, b in itertools.pairwise(borders)]
    pieces.append(transcript.finish())
    assert ("".join(pieces), transcript.stopped) == cut(text, stop)


@given(TEXTS)
def test_without_stop_sequences_every_whole_character_comes_at_once(text):
    transcript = Transcript(ByteTokenizer())
    for character in text:
        first = ByteTokenizer().encode(character)[:-1]
        last = ByteTokenizer().encode(character)[-1:]
        assert transcript.add(first) == ""
        assert transcript.add(last) == character


def test_what_may_begin_a_stop_sequence_is_held_back():
    transcript = Transcript(ByteTokenizer(), ["\n\n", "END"])
    assert transcript.add(b"ab\n") == "ab"
    assert transcript.add(b"cE") == "\nc"
    assert transcript.add(b"N") == ""
    assert transcript.finish() == "EN"
    assert not transcript.stopped


def test_nothing_comes_after_a_stop_sequence():
    transcript = Transcript(ByteTokenizer(), ["x"])
    assert transcript.add(b"axb") == "a"
    assert transcript.stopped
    assert transcript.add(b"c") + transcript.finish() == ""


def test_a_broken_character_is_replaced():
    transcript = Transcript(ByteTokenizer())
    assert transcript.add([0xE2, 0x82]) == ""
    assert transcript.add([0x61]) == "\N{REPLACEMENT CHARACTER}a"
    assert transcript.add([0xE2]) == ""
    assert transcript.finish() == "\N{REPLACEMENT CHARACTER}"


def test_special_tokens_add_nothing():
    assert Transcript(ByteTokenizer()).add([0x61, END, 0x62]) == "ab"


def test_an_empty_stop_sequence_is_refused():
    with pytest.raises(ValueError, match="stop sequences of a character or more"):
        Transcript(ByteTokenizer(), [""])


@given(TEXTS, st.integers(0, 8), st.lists(st.integers(0, 60)))
def test_bytes_that_were_in_the_prompt_are_skipped(text, skip, cuts):
    tokens = ByteTokenizer().encode("b" * skip + text)
    transcript = Transcript(ByteTokenizer(), skip=skip)
    borders = [0, *sorted(min(c, len(tokens)) for c in cuts), len(tokens)]
    pieces = [transcript.add(tokens[a:b]) for a, b in itertools.pairwise(borders)]
    assert "".join(pieces) + transcript.finish() == text


@given(st.lists(st.integers(0, 70)), st.booleans())
def test_a_fill_does_not_depend_on_its_pieces(cuts, ended):
    hole = Hole("def f(a):\n    b = 0\n", "        b += 1\n    return b\n")
    text = "    for x in a:\n        b += 1\n    return b\n\n\nf([1, 2])\n"
    filling = Filling(hole)
    borders = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    pieces = [filling.add(text[a:b]) for a, b in itertools.pairwise(borders)]
    pieces.append(filling.add("", ended=ended, cut=not ended))
    assert "".join(pieces) == "    for x in a:\n"
    assert filling.over


def test_a_fill_that_goes_on_is_shown_as_far_as_it_is_certain():
    filling = Filling(Hole("def f(a):\n", "    return b\n"))
    assert filling.add("    b = (") == ""
    assert filling.add("1,\n") == "    b = (1,"
    assert filling.add("    )\n") == "\n    )\n"
    assert filling.add("    return b") == ""
    assert not filling.over
    assert filling.add("\n") == ""
    assert filling.over
