"""All filters: each takes out what was planted for it, and says so."""

import pytest

from hrm_jax.data.corpus import benchmarks, duplicates, filters
from hrm_jax.data.corpus.documents import Document

CODE = 'def greet(name):\n    """Says hello."""\n    print(f"hello, {name}!")\n'
PROBLEM = "Write a function that turns a list of integers into the nested sum of its odd parts."


def _document(text, path="a.py", language="python", project="p"):
    return Document(project, path, language, text)


PLANTED = {
    "vendored": _document(CODE + "1", path="vendor/a.py"),
    "empty": _document(" \n"),
    "too large": _document("[1]\n" * 20_000, language="json"),
    "generated": _document("# @generated\n" + CODE),
    "minified": _document("a=1;" * 500),
    "licence": _document("# SPDX-License-Identifier: GPL-3.0-only\n" + CODE),
    "duplicate": _document(CODE.replace("\n", "\n\n"), project="other"),
    "secret": _document(CODE + 'key = "AKIA' + 'QWERTYUIOPASDFGH"\n'),
    "benchmark": _document(CODE + f"# {PROBLEM}\n"),
}


def test_each_filter_takes_out_what_it_is_for():
    all_filters = filters.standard_filters(benchmarks.Benchmarks([PROBLEM]))
    assert all_filters.keys() == PLANTED.keys()
    kept = [_document(CODE), _document(CODE + "greet('you')\n")]
    removed = {}
    found = list(filters.clean([kept[0], *PLANTED.values(), kept[1]], all_filters, removed))
    assert found == kept
    sizes = {reason: len(document.text) for reason, document in PLANTED.items()}
    assert removed == {reason: filters.Count(1, size) for reason, size in sizes.items()}


@pytest.mark.parametrize(("again", "expected"), [("a  b\n", True), ("ab", False), ("A b", False)])
def test_duplicates_are_equal_but_for_white_space(again, expected):
    seen = duplicates.Seen()
    assert not seen("a b")
    assert seen(again) is expected
