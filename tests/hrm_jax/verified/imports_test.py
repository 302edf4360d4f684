"""What tests import from modules that are not there is taken from the program."""

import ast

import pytest

from hrm_jax.verified.imports import without_absent


@pytest.mark.parametrize(
    ("source", "wanted", "names"),
    [
        ("import os, mine", "import os", set()),
        ("import mine\nmine.f(mine.g)", "pass\nf(g)", {"f", "g"}),
        ("import a.b\na.b.f()", "pass\nf()", {"f"}),
        ("from mine import f, g as h", "pass\nh = g", {"f", "g"}),
        ("from . import f", "pass", {"f"}),
        ("from mine import *", "pass", set()),
        ("from os.path import join\njoin.x", "from os.path import join\njoin.x", set()),
        ("def t():\n    from mine import f\n    f()", "def t():\n    pass\n    f()", {"f"}),
    ],
)
def test_imports(source, wanted, names):
    tree, found = without_absent(ast.parse(source), {"os"})
    assert (ast.unparse(tree), found) == (wanted, names)
