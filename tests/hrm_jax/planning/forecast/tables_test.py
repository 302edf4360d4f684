"""Tables: what is read, and what is said of what cannot be read."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.core.files import TextError
from hrm_jax.planning.forecast.tables import TableError, read_table


def _written(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_plain_and_packed_files_are_read(tmp_path):
    text = '\ufeffkey,size\na,"1"\n\nb,2.5\n'
    plain = read_table(_written(tmp_path, text), ("key", "size"))
    packed = read_table(_written(tmp_path, gzip.compress(text.encode()), "t.csv.gz"), ("key",))
    assert plain.rows == packed.rows == (("a", "1"), ("b", "2.5"))
    np.testing.assert_array_equal(plain.numbers("size"), [1, 2.5])
    assert plain.lines == (2, 4)
    assert plain.optional("due") == ["", ""]


def test_free_text_without_quotes_is_joined(tmp_path):
    path = _written(tmp_path, 'id,name,size\n1,July 7, "2014,3\n2,plain,4\n')
    table = read_table(path, ("id",), unquoted="name")
    assert table.texts("name") == ['July 7, "2014', "plain"]
    np.testing.assert_array_equal(table.numbers("size"), [3, 4])
    with pytest.raises(TableError, match="line 2: expected 3 fields, got 4; put quotes around"):
        read_table(_written(tmp_path, "id,name,size\n1,a,b,2\n"), ("id",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a heading and rows, got none"),
        (b"key,size\n", "expected a heading and rows, got none"),
        (
            b"key,title\na,b\n",
            "line 1: expected columns key, size, got columns key, title; add size",
        ),
        (b"key,size,key\na,1,b\n", "expected each column once, got key twice"),
        (b'key,size\na,"1\n', "a quote may be open, or the file is cut"),
        (b"\x1f\x8b\x08\x00cut", "expected a whole gzip file"),
        (b"<!DOCTYPE html>\n<p>\n", "got a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)
def test_bad_files_are_told(tmp_path, content, message):
    with pytest.raises(TableError, match=message):
        read_table(_written(tmp_path, content), ("key", "size"))


def test_other_encodings_are_told_or_replaced(tmp_path):
    path = _written(tmp_path, b"key,size\nf\xfcr,1\n")
    with pytest.raises(TextError, match="line 2: expected UTF-8 text, got byte 0xfc"):
        read_table(path, ("key", "size"))
    assert read_table(path, ("key",), lenient=True).texts("key") == ["f\ufffdr"]


@pytest.mark.parametrize("value", ["", "x", "nan", "inf", "-1"])
def test_values_that_are_no_amounts_are_named(tmp_path, value):
    table = read_table(_written(tmp_path, f"key,size\na,1\nb,{value}\n"), ("key", "size"))
    with pytest.raises(TableError, match="line 3: size: expected a number of 0 or more, got"):
        table.numbers("size", at_least=0)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_told(tmp_path_factory, content):
    path = _written(tmp_path_factory.mktemp("any"), content)
    try:
        assert len(read_table(path, ("key",)))
    except (TableError, TextError) as error:
        told = str(error)
        assert told.startswith(str(path))
