import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.inference.text.transcripts import Transcript
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
