import pytest

from hrm_jax.data.text.well_formed import begins_python, is_balanced, parses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\n", True),
        ("x = '\\d'", True),
        ("def f(:", False),
        ("a\0", False),
        ("(" * 999, False),
    ],
)
def test_python_parses(text, expected):
    assert parses(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("def f(x):\n    '''It", True),
        ("x = [1,", True),
        ("def f(x):\n    if x:", True),
        ("int f(int x) {", False),
        ("Dear all, I am", False),
    ],
)
def test_python_may_begin_so(text, expected):
    assert begins_python(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f(a[0]) { }", True),
        ("f(\")\", '(', `{`) // (", True),
        ("/* ( */", True),
        ("(]", False),
        ("{", False),
        (")", False),
    ],
)
def test_brackets_are_balanced(text, expected):
    assert is_balanced(text) is expected
