"""Files are opened by their content; what is no text, or not one file, is named."""

import contextlib
import gzip
import io
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.files import TextError
from hrm_jax.data.sudoku.unpacking import PuzzleFileError, text_lines

TEXT = "first\nsecond\n"
LINES = ["first", "second"]


def lines_of(content):
    return list(text_lines(io.BytesIO(content), "mine"))


def zipped(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return stream.getvalue()


def tarred(**files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return stream.getvalue()


PACKED = {
    "plain": TEXT.encode(),
    "gzip": gzip.compress(TEXT.encode()),
    "zip": zipped(a_txt=TEXT),
    "zip of another system": zipped(a_txt=TEXT, MACOSX__x="", dir___hidden="").replace(
        b"MACOSX/x", b"_hidden/"
    ),
    "tar": tarred(a=TEXT),
    "compressed tar": gzip.compress(tarred(a=TEXT)),
    "compressed in zip": zipped(a_gz=gzip.compress(TEXT.encode())),
    "byte-order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "Windows": b"first\r\nsecond\r\n",
    "carriage returns": b"first\rsecond\r",
    "Ctrl-Z": TEXT.encode() + b"\x1a",
    "Ctrl-Z in the last line": b"first\nsecond\x1a",
}


@pytest.mark.parametrize("kind", PACKED)
def test_lines_are_found_whatever_they_are_packed_in(kind):
    assert [line for line in lines_of(PACKED[kind]) if line] == LINES


def test_only_the_ends_of_lines_end_them():
    assert lines_of("a\u2028b\u0085c\n\nd".encode()) == ["a\u2028b\u0085c", "", "d"]


MANY = {f"file{i}_txt": "" for i in range(12)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(easy_txt="", hard_txt=""), r"2 files, easy\.txt, hard\.txt: unpack it and name"),
        (zipped(**MANY), r"12 files, .*file9\.txt and 2 more: unpack it"),
        (tarred(a="", b=""), "2 files, a, b: unpack it and name one"),
        (zipped(mimetype="", content_xml=""), "document of an office program: save the sheet"),
        (zipped(dir__=""), "has no file in it"),
        (b"PK\x05\x06" + bytes(18), "expected text, .* got an empty archive"),
        (b"BZh91AY", "got compressed by bzip2"),
        (b"%PDF-1.7", "got a PDF document"),
        (gzip.compress(TEXT.encode())[:-6], "cannot be unpacked .*fetch it again"),
        (zipped(a=TEXT)[:-30], "cannot be unpacked"),
        (gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"")))), "packed too many times"),
    ],
    # Archives hold the time, and workers must collect the same names.
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)
def test_what_is_not_one_text_is_named(content, message):
    with pytest.raises((PuzzleFileError, TextError), match=f"^mine.*{message}"):
        lines_of(content)


def test_another_encoding_is_named_with_its_line():
    with pytest.raises(TextError, match="mine, line 3: expected UTF-8 text, got byte 0xfc"):
        lines_of("a\nb\nMüller\n".encode("latin-1"))
    with pytest.raises(TextError, match="got UTF-16; convert it"):
        lines_of(TEXT.encode("utf-16"))
    for encoding in ("UTF-16LE", "UTF-16BE"):
        with pytest.raises(TextError, match=f"got {encoding}; convert it: iconv -f {encoding} "):
            lines_of(TEXT.encode(encoding))


@settings(max_examples=200)
@given(st.sampled_from(sorted(PACKED)), st.data())
def test_damage_is_refused_and_no_defect(kind, data):
    content = bytearray(PACKED[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PuzzleFileError, TextError):
        lines_of(bytes(content))
