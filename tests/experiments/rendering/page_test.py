"""The page as a file: what it holds, and that it needs nothing else."""

import html.parser
import json
import re

import numpy as np
import pytest

from experiments.rendering.page import to_html
from hrm_jax.data.sudoku import rules

VOID = {"meta", "input", "br"}


class Reader(html.parser.HTMLParser):
    """Checks that elements nest, and collects attributes and the text of scripts."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open = []
        self.attributes = []
        self.scripts = {}

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, f"line {self.getpos()[0]}: unexpected </{tag}>"

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            name = self.open[-1][1].get("id", "program")
            self.scripts[name] = self.scripts.get(name, "") + data


@pytest.fixture(scope="module")
def page(traces):
    return to_html(traces)


@pytest.fixture(scope="module")
def reader(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def test_the_page_holds_exactly_the_traces(reader, traces):
    assert reader.scripts.keys() == {"payload", "program"}
    payload = json.loads(reader.scripts["payload"])
    assert payload.keys() == {"puzzles"}
    for puzzle, trace in zip(payload["puzzles"], traces, strict=True):
        assert puzzle["title"] == trace.title
        assert puzzle["givens"] == rules.format_grid(trace.givens)
        assert puzzle["box"] == [3, 3]
        assert puzzle["halt"] == trace.halt
        assert puzzle["solved"] == trace.solved
        np.testing.assert_allclose(puzzle["confidence"], trace.halt_confidence, atol=5.1e-4)
        for number, step in enumerate(puzzle.pop("steps")):
            assert step.pop("digits") == rules.format_grid(trace.digits[number])
            confidence = trace.cell_confidence[number]
            np.testing.assert_allclose(step.pop("confidence"), confidence, atol=5.1e-4)
            assert step.pop("conflicts") == np.flatnonzero(trace.conflicts[number]).tolist()
            assert step.pop("changed") == np.flatnonzero(trace.changed[number]).tolist()
            assert not step
        assert number == trace.steps - 1
        assert puzzle.keys() == {"title", "box", "givens", "halt", "solved", "confidence"}


def test_nothing_comes_from_elsewhere(page, reader):
    names = {name for name, _ in reader.attributes}
    assert not names & {"src", "href", "srcset", "data", "action", "xlink:href"}
    assert not re.search(r"//\w|url\(|@import|fetch\(|XMLHttpRequest|\bimport\b", page)
    assert any(n == "content" and "default-src 'none'" in v for n, v in reader.attributes)


def test_each_control_has_a_name(page):
    buttons = re.findall(r"<button.*?</button>", page, re.DOTALL)
    assert len(buttons) == 3
    for button in buttons:
        assert "aria-label=" in button or re.search(r"<span>\w+</span>", button)
    fields = re.findall(r"(?:<label[^>]*>)?<input[^>]*>", page)
    assert len(fields) == 2
    for field in fields:
        assert "aria-label=" in field or field.startswith("<label")


def luminance(color: str) -> float:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_is_legible(page, scheme):
    """Contrast of WCAG 2.1: 4.5 for text (1.4.3), 3 for marks (1.4.11)."""
    block = re.findall(r":root \{(.*?)\}", page, re.DOTALL)[scheme]
    colors = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
    for text, grounds in {
        "ink": ("page", "card", "given"),
        "soft": ("page", "card"),
        "predicted": ("card", "tile"),
        "conflict": ("card", "tile"),
    }.items():
        for ground in grounds:
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for mark, ground in (("conflict", "given"), ("focus", "page"), ("strong", "card")):
        assert contrast(colors[mark], colors[ground]) >= 3, (mark, ground)
