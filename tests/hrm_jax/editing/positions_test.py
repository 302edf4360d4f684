"""Places in all encodings, against counting code points by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.editing import positions
from hrm_jax.editing.documents import Change, Document, Documents
from hrm_jax.editing.positions import Place

SIZES = {
    "utf-8": lambda character: len(character.encode()),
    "utf-16": lambda character: 2 if ord(character) > 0xFFFF else 1,
    "utf-32": lambda character: 1,
}
# Form feeds and others end lines in Python, and none in the protocol.
TEXTS = st.text(st.sampled_from("aÅ😀e\u0301\n\r\x0c\u2028\x85 "), max_size=30)
ENCODINGS = st.sampled_from(sorted(SIZES))


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 8), ("utf-16", 5), ("utf-32", 4)])
def test_emoji_and_letters_with_rings_have_the_units_of_the_encoding(encoding, character):
    text = "x = 1\nÅ=😀|"
    assert positions.offset_at(text, Place(1, character - 1), encoding) == len(text) - 1
    assert positions.place_at(text, len(text), encoding) == Place(1, character)


@given(TEXTS, ENCODINGS, st.data())
def test_places_and_offsets_are_each_others_inverse(text, encoding, data):
    offset = data.draw(st.integers(0, len(text)))
    if text[offset - 1 : offset + 1] == "\r\n":
        return  # within the end of a line is no place
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    lines = before.split("\n")
    place = Place(len(lines) - 1, sum(map(SIZES[encoding], lines[-1])))
    assert positions.place_at(text, offset, encoding) == place
    assert positions.offset_at(text, place, encoding) == offset


def test_places_that_are_none_are_the_next_before():
    text = "ab\r\n😀c\n"
    assert positions.offset_at(text, Place(0, 99), "utf-16") == 2
    assert positions.offset_at(text, Place(1, 1), "utf-16") == 4  # within a pair
    assert positions.offset_at(text, Place(2, 5), "utf-16") == len(text)
    assert positions.offset_at(text, Place(9, 0), "utf-16") == len(text)
    assert positions.offset_at("\ud800x", Place(0, 1), "utf-16") == 1
    assert positions.with_plain_ends("a\r\nb\rc\n") == "a\nb\nc\n"


@given(TEXTS, TEXTS, ENCODINGS, st.data())
def test_a_change_replaces_what_is_between_its_places(text, inserted, encoding, data):
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    if any(text[at - 1 : at + 1] == "\r\n" for at in (begin, end)):
        return
    documents = Documents(encoding)
    documents.open(Document("file:///a.py", "python", text))
    places = [positions.place_at(text, at, encoding) for at in (begin, end)]
    documents.change("file:///a.py", [Change(inserted, *places)])
    changed = documents.get("file:///a.py")
    assert changed is not None
    assert changed.text == text[:begin] + inserted + text[end:]


def test_documents_are_known_however_their_name_is_escaped():
    documents = Documents()
    documents.open(Document("file:///c%3A/a.py", "python", "a"))
    documents.open(Document("file:///b.py", "python", "b"))
    documents.change("file:///c:/a.py", [Change("all")])
    documents.change("file:///absent.py", [Change("x")])
    assert [one.text for one in documents] == ["all", "b"]
    documents.visit("file:///b.py", 7)
    assert [(one.text, one.line) for one in documents] == [("b", 7), ("all", 0)]
    documents.close("file:///b.py")
    assert documents.get("file:///b.py") is None


def test_what_has_a_path_on_this_machine():
    assert str(Document("file:///a/%C3%85%20b.py", "python", "").path) == "/a/Å b.py"
    for uri in ("untitled:Untitled-1", "file://", "file://elsewhere/a.py", "zipfile:///a.zip::b"):
        assert Document(uri, "python", "").path is None
    assert Document("file://", "python", "").is_unnamed
    assert not Document("zipfile:///a.zip::b", "python", "").is_unnamed
