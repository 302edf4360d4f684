"""What is shown never stands there twice; the same properties as the extension's tests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.editing.brackets import closing_run, unmatched
from hrm_jax.editing.fitting import fit, fit_inserted


def accepted(before: str, suggestion: str, after: str) -> str:
    """The document after a suggestion is accepted."""
    fitted = fit(suggestion, before, after)
    if fitted is None:
        return before + after
    return before + fitted.text + after[fitted.replaced :]


CASES = [
    ("print(", "x)", ")\n", "print(x)\n"),
    ("print(", "foo(bar)", ")\n", "print(foo(bar))\n"),
    ("print(", "foo(bar))", ")\n", "print(foo(bar))\n"),
    ("print(", "x) + f(y", ")\n", "print(x) + f(y)\n"),
    ("if (a", "b) {", ")", "if (ab) {"),
    ("def f(", "a, b):", "):\n    pass", "def f(a, b):\n    pass"),
    ('print("', 'hello"', '")', 'print("hello")'),
    ('print("', 'hello", x)', '")', 'print("hello", x)'),
    ('    """', 'Returns the sum."""', '"""\n', '    """Returns the sum."""\n'),
    ("x = [", "1, 2]\ny = [3]", "]\n", "x = [1, 2]\ny = [3]\n"),
    ("a = 1\n", "b = 2\nc = 3", "\nc = 3\nd = 4\n", "a = 1\nb = 2\nc = 3\nd = 4\n"),
    ("a = 1\n", "b = 2\n\nc = 3\nd", "\n\nc = 3\nd = 4\n", "a = 1\nb = 2\n\nc = 3\nd = 4\n"),
    ("function f() {\n  ", "if (a) {\n  }\n}", "\n}\n", "function f() {\n  if (a) {\n  }\n}\n"),
    ("foo(\n    ", "bar(\n)", "\n)\n", "foo(\n    bar(\n)\n)\n"),
    ("# it doesn't\nf(", "x)", ")", "# it doesn't\nf(x)"),
    ("f('", "a')", "')", "f('a')"),
]


@pytest.mark.parametrize(("before", "suggestion", "after", "whole"), CASES)
def test_it_fits(before, suggestion, after, whole):
    assert accepted(before, suggestion, after) == whole


def test_what_is_there_already_leaves_nothing_to_show():
    assert fit("c = 3\n", "a = 1\n", "c = 3\n") is None
    assert fit("  \n ", "a = 1\n", "") is None
    assert fit_inserted("c = 3\n", "a = 1\n", "c = 3\n") == ""


WORDS = st.text("abcdefgh", min_size=1, max_size=6)
LINES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
TEXTS = st.lists(LINES, min_size=1, max_size=4).map("\n".join)


@given(TEXTS, TEXTS, TEXTS)
def test_no_end_of_a_suggestion_repeats_what_follows(before, suggestion, after):
    fitted = fit(suggestion, before, after)
    text = fitted.text if fitted else ""
    for size in range(1, len(after) + 1):
        assert not text.endswith(after[:size])


@given(TEXTS, TEXTS, TEXTS, st.data())
def test_a_suggestion_that_goes_on_into_what_follows_ends_before_it(before, middle, after, data):
    repeated = after[: data.draw(st.integers(1, len(after)))]
    assert accepted(f"{before} ", f"{middle};{repeated}", after) == f"{before} {middle};{after}"


ATOMS = st.recursive(
    WORDS | WORDS.map('"{}"'.format),
    lambda inner: st.builds("{}({})".format, WORDS, inner) | inner.map("[{}]".format),
    max_leaves=4,
)
EXPRESSIONS = st.lists(ATOMS, min_size=1, max_size=3).map(", ".join)


def closed_by_editor(before: str) -> str:
    """What an editor adds behind the cursor: the partners of what is open before it."""
    waiting = []
    for character in before:
        if waiting and waiting[-1] == character:
            waiting.pop()
        elif '"' not in waiting[-1:]:
            waiting += {"(": ")", "[": "]", '"': '"'}.get(character, "")
    return "".join(reversed(waiting))


@settings(max_examples=400)
@given(EXPRESSIONS, st.data())
def test_what_the_editor_closed_is_never_doubled(whole, data):
    before = whole[: data.draw(st.integers(0, len(whole) - 1))]
    after = closed_by_editor(before)
    assert accepted(before, whole[len(before) :], after) == whole
    # Where nothing behind the cursor can be replaced, what is left of it is balanced too.
    inserted = fit_inserted(whole[len(before) :], before, after)
    assert unmatched(before + inserted + after) == 0
    assert whole.startswith(before + inserted)


@given(EXPRESSIONS, EXPRESSIONS)
def test_a_suggestion_that_leaves_the_brackets_to_close_keeps_them(outer, inner):
    assert accepted(f"f({outer}, ", inner, ")\n") == f"f({outer}, {inner})\n"


def test_what_would_be_written_over_ends_what_is_inserted():
    assert fit_inserted("b) {", "if (a", ")") == "b"
    assert fit_inserted("g(b)) {", "if (a", ")") == "g(b)"
    assert fit_inserted("x)", "print(", ")") == "x"


@given(EXPRESSIONS)
def test_expressions_are_balanced_and_each_bracket_taken_away_is_missed(whole):
    assert unmatched(whole) == 0
    assert unmatched(f"({whole}") == 1
    assert unmatched(f"{whole}]") == 1


def test_strings_and_apostrophes():
    assert unmatched("'it\\'s' + don't") == 0
    assert unmatched('"""a ( " b"""') == 0
    assert unmatched("'open\n)") == 2
    assert unmatched('"""open \\') == 1
    assert unmatched("'open\\") == 1
    assert unmatched("`a\n(`") == 0
    assert closing_run(')]"; x') == ')]"'
    assert closing_run("x)") == ""
