"""Ways to damage a file: `damaged` draws a copy, `with_other_values` goes through JSON."""

import gzip
import io
import itertools
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_OTHER_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**70, 0.5, -1e300),
    *("", "x", "\ud800", "0", [], {}, [None]),
]
_ATOMS: st.SearchStrategy[Any] = st.sampled_from(_OTHER_VALUES)
_ALIKE = 4
"""So many values of a list or an object are changed, as those of a vocabulary are all alike."""


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Returns a strategy of damaged copies of a file's content."""
    ways = [_cut(content), _changed(content), _replaced(content), st.sampled_from(_OTHERS)]
    for split in (b"\0", b"\n"):  # one value, or one a line
        try:
            trees = [json.loads(part) for part in content.strip().split(split)]
        except ValueError:
            continue
        # Text that is still JSON gets further than any other.
        return st.one_of([*ways, *[_changed_json(trees)] * 4])
    return st.one_of(ways)


def with_other_values(content: bytes) -> Iterator[bytes]:
    """Yields JSON with each of its values replaced by each kind of other, and with it left out.

    Of several lines the first is changed; what is no JSON yields nothing.
    """
    for split in (b"\0", b"\n"):
        first, _, rest = content.strip().partition(split)
        try:
            tree = json.loads(first)
        except ValueError:
            continue
        for other in _with_other_values(tree):
            yield json.dumps(other).encode() + (split + rest if rest else b"")
        return


def _with_other_values(tree: Any) -> Iterator[Any]:
    yield from _OTHER_VALUES
    if isinstance(tree, dict):
        for key in itertools.islice(tree, None if len(tree) < 50 else _ALIKE):
            yield {name: value for name, value in tree.items() if name != key}
            for other in _with_other_values(tree[key]):
                yield {**tree, key: other}
    elif isinstance(tree, list):
        for place in range(min(len(tree), _ALIKE)):
            for other in _with_other_values(tree[place]):
                yield [*tree[:place], other, *tree[place + 1 :]]


def _cut(content: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(content)).map(lambda end: content[:end])


def _changed(content: bytes) -> st.SearchStrategy[bytes]:
    """Changes some bytes; those of headers, which come first, as often as all others."""
    near = st.integers(0, min(len(content), 256) - 1)
    places = st.one_of(near, st.integers(0, len(content) - 1))

    def change(edits: list[tuple[int, int]]) -> bytes:
        changed = bytearray(content)
        for place, byte in edits:
            changed[place] = byte
        return bytes(changed)

    return st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4).map(change)


def _replaced(content: bytes) -> st.SearchStrategy[bytes]:
    """Replaces a part by a few other bytes, so that the rest is moved."""

    def replace(drawn: tuple[int, int, bytes]) -> bytes:
        place, length, other = drawn
        return content[:place] + other + content[place + length :]

    return st.tuples(st.integers(0, len(content)), st.integers(0, 40), st.binary(max_size=8)).map(
        replace
    )


@st.composite
def _changed_json(draw: st.DrawFn, trees: list[Any]) -> bytes:
    """Replaces, removes or adds a value somewhere in JSON, of which a line has each tree."""
    number = draw(st.integers(0, len(trees) - 1))
    tree = json.loads(json.dumps(trees[number]))
    here = tree
    while isinstance(here, dict | list) and here:
        key: Any = draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
        if not isinstance(here[key], dict | list) or not here[key] or draw(st.booleans()):
            what = draw(st.sampled_from(["replace", "remove", "add"]))
            if what == "remove":
                del here[key]
            elif what == "replace" or isinstance(here, list):
                here[key] = draw(_ATOMS)
            else:
                here[draw(st.sampled_from(["", "x", "name"]))] = draw(_ATOMS)
            break
        here = here[key]
    else:
        tree = draw(_ATOMS)
    lines = [*trees[:number], tree, *trees[number + 1 :]]
    return "\n".join(map(json.dumps, lines)).encode()


def _zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


_OTHERS = [
    b"",
    b"\0" * 64,
    b"null",
    b"[]",
    b"{}",
    b"[" * 5000,
    b'{"a": ' * 5000,
    b"\xff\xfe{\0}\0",
    b"\xef\xbb\xbf{}",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    b"<!DOCTYPE html><title>404</title>",
    gzip.compress(b"{}"),
    _zipped("a.json", b"{}"),
]
"""What lies in the place of a file: an empty one, a page of an error, another format."""
