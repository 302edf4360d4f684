"""Samples: where they begin, and when they count as code."""

import pytest

from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.tasks.code.samples import as_text, first_lines, parse_rate, write_samples

FILE = '''import os

def first(a, b=2):
    return a

class Other:
    def method(self):
        pass

def second(path) -> str:
    """Says where."""
'''


class Writes:
    """A writer of fixed answers: (text, ending)."""

    def __init__(self, *answers):
        self.answers = answers
        self.asked = []

    def fits(self, request):
        return len(request.prompt.prefix) < 20

    def write(self, requests):
        self.asked += requests
        for number, (text, ending) in enumerate(self.answers):
            yield Piece(number, text[:3], None)
            yield Piece(number, text[3:], ending)


class Piece:
    def __init__(self, request, text, ending):
        self.request = request
        self.text = text
        self.ending = ending


def sample(text, ending):
    (found,) = write_samples(
        Writes((text, ending)), ["def f(x):\n"], max_tokens=9, sampling=SamplingConfig()
    )
    return found


def test_first_lines_are_those_of_functions_at_the_margin():
    assert first_lines([FILE], 5) == ["def first(a, b=2):\n", "def second(path) -> str:\n"]
    assert first_lines([FILE, FILE], 1) == ["def first(a, b=2):\n"]
    assert first_lines(["x = 1\n"], 3) == []


@pytest.mark.parametrize(
    ("text", "ending", "parses"),
    [
        ("    return x\n", "end", True),
        ("    return x +\n", "stop", False),
        ("    return x\n    y = (x", "length", True),  # no room to go on
        ("    return x\n    y = (x", "end", False),
        ("    retur x\n    y", "length", False),
        ("    ", "length", False),  # nothing whole was written
        ("    return x", "length", False),
        ("```\n\nThis function", "length", False),  # an unfinished block is not a missing one
        ("\n    # why\n    return x\n    y", "length", True),
        ("", "end", False),
    ],
)
def test_what_counts_as_code(text, ending, parses):
    found = sample(text, ending)
    assert (found.completion, found.parses) == (text, parses)


def test_a_prompt_without_room_is_left_out():
    writer = Writes(("    pass\n", "end"))
    prompts = ["def f(a, b, c, d, e, f, g):\n", "def g():\n"]
    (found,) = write_samples(writer, prompts, max_tokens=7, sampling=SamplingConfig())
    assert (found.prompt, found.parses) == (prompts[1], True)
    # The draws of a prompt do not depend on which others fit.
    assert [one.seed for one in writer.asked] == [1]
    assert write_samples(Writes(), prompts[:1], max_tokens=7, sampling=SamplingConfig()) == []


def test_each_prompt_has_a_seed_of_its_own():
    writer = Writes(("    pass\n", "end"), ("    if\n", "end"))
    found = write_samples(
        writer, ["def f():\n", "def g():\n"], max_tokens=7, sampling=SamplingConfig(0.5), seed=3
    )
    assert [(r.prompt.prefix, r.seed, r.max_tokens) for r in writer.asked] == [
        ("def f():\n", 3, 7),
        ("def g():\n", 4, 7),
    ]
    assert parse_rate(found) == 0.5
    text = as_text(found, "after")
    assert text.startswith("after: 50% of 2 parse\n")
    assert "does not parse\ndef g():\n    if\n" in text
