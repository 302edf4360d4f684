"""What the context suite draws, asks for and tells; no model is asked."""

import io
import itertools
import pathlib
import types

import pytest
from rich.console import Console

pytest.importorskip("tree_sitter_language_pack", reason="needs the extra codegen")

from experiments.benchmarks import context_gain
from experiments.benchmarks.context_points import code_lines, draw_regions
from hrm_jax.core.config import ConfigError
from hrm_jax.data.corpus.documents import Document
from hrm_jax.inference.text.requests import Piece

BODY = '''"""A module.

It says x = 1 in its docstring.
"""

# A comment of some length.


def function_{n}(argument):
    """Returns a value."""
    result = function_{other}(argument)
    return result + 1


'''


def document(number: int) -> Document:
    values = "".join(f"value_{i} = [{i}, {i + 1}]\n" for i in range(30))
    text = values + BODY.format(n=number, other=(number + 1) % 6) + 3 * values
    return Document("demo", f"package/file_{number}.py", "python", text)


DOCUMENTS = [document(number) for number in range(6)]


def regions(count: int):
    return list(itertools.islice(draw_regions(DOCUMENTS, seed=0), count))


def test_lines_of_comments_and_docstrings_are_no_code():
    found = code_lines(DOCUMENTS[0])
    lines = DOCUMENTS[0].text.split("\n")
    texts = {lines[number] for number in found}
    assert "def function_0(argument):" in texts
    assert "value_0 = [0, 1]" in texts
    assert not any("module" in text or "says" in text or "comment of" in text for text in texts)


def test_places_are_within_lines_and_the_same_each_time():
    first = regions(40)
    assert first == regions(40)
    for region in first:
        assert region.document not in region.others
        assert len(region.others) == len(DOCUMENTS) - 1
        lines = region.document.text.split("\n")
        for place in region.places:
            indentation = len(lines[place.line]) - len(lines[place.line].lstrip())
            assert indentation <= place.cut <= len(lines[place.line])
            if place.kind == "names":
                assert "function_" in lines[place.line][place.cut :]
    assert {place.kind for region in first for place in region.places} == {"any", "names"}


class Author:
    """A writer that writes one text, and keeps the requests."""

    def __init__(self, text):
        self.text = text
        self.requests = []

    def write(self, requests):
        self.requests += requests
        for number in range(len(requests)):
            yield Piece(number, self.text, 1, "end")

    def job(self, number, request):
        prompt = request.prompt
        size = len(prompt.prefix) + len(prompt.suffix or "")
        size += sum(len(name) + len(text) + 2 for name, text in prompt.neighbours)
        return types.SimpleNamespace(prompt=types.SimpleNamespace(tokens=range(size)))


def complete(region, variant):
    author = Author("]\nmore")
    return context_gain._complete(author, region, variant), author.requests


def test_variants_read_as_much_and_only_some_see_other_files():
    for region in regions(10):
        typed = len("\n".join(region.document.text.split("\n")[region.places[0].line :]))
        for variant in ("alone", "path", "others:1000", "own:1000", "all:1000"):
            records, requests = complete(region, variant)
            assert [record["line"] for record in records] == [one.line for one in region.places]
            for record, request in zip(records, requests, strict=True):
                assert record["prompt_tokens"] <= context_gain.CHARACTERS + typed
                shown = request.prompt.neighbours
                assert bool(request.prompt.place.path) == (variant != "alone")
                assert shown == () or variant not in ("alone", "path")
                names = {name for name, _ in shown}
                if variant.startswith("others"):
                    assert region.document.path not in names
                if variant.startswith("own"):
                    assert names <= {region.document.path}
                assert record["text"] == "]"
                assert record["exact"] == (record["wanted"] == "]")


def test_gains_are_of_the_same_places_and_have_an_interval():
    region = regions(1)[0]
    alone, _ = complete(region, "alone")
    better = [{**one, "variant": "all:1000", "exact": True, "similarity": 1.0} for one in alone]
    figures = context_gain._figures([*alone, *better], "all:1000", "any")
    mean, low, high = figures["similarity_gain"]
    assert low == pytest.approx(mean)
    assert high == pytest.approx(mean)
    expected = 1 - sum(one["similarity"] for one in alone) / len(alone)
    assert mean == pytest.approx(expected)
    assert context_gain._figures([*better], "all:1000", "any")["exact_gain"] is None
    mean, low, high = context_gain._interval([[1.0], [0.0], [1.0, 1.0], [0.0]])
    assert low < mean < high


def test_unknown_variants_are_refused():
    with pytest.raises(ConfigError, match="variants: expected names of alone, path"):
        context_gain._kind_of("nothing:3")
    with pytest.raises(ConfigError, match="such as others:1000"):
        context_gain._kind_of("others:many")


def test_the_table_fits_eighty_columns():
    figures = {
        "kind": "names",
        "variant": "others:1000",
        "places": 1000,
        "exact": 0.5,
        "similarity": 0.5,
        "exact_gain": (0.1, -0.2, 0.3),
        "similarity_gain": (0.4, 0.2, 0.6),
        "prompt_tokens": 1234.0,
    }
    options = context_gain.Options("qwen2.5-coder-0.5b", (), 1, pathlib.Path("records"))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(context_gain._table(options, [figures]))
    text = console.export_text()
    for figure in ("+0.100", "-0.200", "+0.300", "+0.400", "1234"):
        assert figure in text
