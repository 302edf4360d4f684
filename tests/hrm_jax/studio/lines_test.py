import os

import hypothesis
import pytest
from hypothesis import strategies as st

from hrm_jax.studio.lines import LineReader


def append(path, content):
    with open(path, "ab") as file:
        file.write(content)


def test_only_new_complete_lines_are_read(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\nhal")
    reader = LineReader(path)
    assert reader.read().lines == [b"a", b"b"]
    assert reader.read().lines == []
    append(path, b"f\nc\n")
    assert reader.read().lines == [b"half", b"c"]


@hypothesis.given(
    parts=st.lists(st.text("ab\n", max_size=8).map(str.encode), max_size=8),
    most=st.integers(9, 40),
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_whatever_is_written_each_line_comes_once(tmp_path_factory, parts, most):
    path = tmp_path_factory.mktemp("lines") / "log"
    path.touch()
    reader = LineReader(path)
    found = []
    for part in [*parts, b"\n"]:
        append(path, part)
        found += reader.read(1000).lines
    assert found == b"".join(parts).split(b"\n")
    # In small pieces, lines that are short enough come as well.
    again = LineReader(path)
    pieces = []
    while (new := again.read(most)).lines or new.left_bytes or new.too_long:
        pieces += new.lines
    assert set(pieces) <= set(found)


def test_a_file_that_is_replaced_or_cut_begins_anew(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    reader = LineReader(path)
    reader.read()
    (tmp_path / "new").write_bytes(b"a\nc\nd\n")
    os.replace(tmp_path / "new", path)
    assert reader.read()[:2] == ([b"a", b"c", b"d"], True)
    path.write_bytes(b"e\n")
    assert reader.read()[:2] == ([b"e"], True)


def test_a_line_without_end_is_passed_over(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"a\n" + b"x" * 95 + b"\nb\n")
    reader = LineReader(path)
    found = [reader.read(20) for _ in range(8)]
    assert [line for new in found for line in new.lines] == [b"a", b"b"]
    assert sum(new.too_long for new in found) == 1
    assert found[0].left_bytes > 0
    assert found[-1].left_bytes == 0


def test_a_file_that_is_gone(tmp_path):
    with pytest.raises(FileNotFoundError):
        LineReader(tmp_path / "log").read()
