"""Names that a program uses and nothing defines."""

import pathlib

import pytest

import hrm_jax
from hrm_jax.data.text.names import undefined_names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(a):\n    return [b + i for i in a] + g(len(a))\n", {"b", "g"}),
        ("import os.path as p, sys\nprint(p, sys, __name__, __file__)\n", set()),
        ("def f():\n    global z\n    z = 1\nf(z)\n", set()),
        ("class A:\n    x = 1\n    def f(self):\n        return x\n", {"x"}),
        ("def f():\n    def g():\n        return x\n    x = 1\n    return g\n", set()),
        ("try:\n    pass\nexcept E as e:\n    print(e)\nlambda v: v + w\n", {"E", "w"}),
        ("x: int\nfor i, (j, *k) in []:\n    print(i, j, k)\n", set()),
    ],
)
def test_names(text, names):
    assert undefined_names(text) == names


def test_our_own_modules_define_all_that_they_use():
    modules = sorted(pathlib.Path(hrm_jax.__file__).parent.glob("data/**/*.py"))
    assert len(modules) > 20
    assert [module for module in modules if undefined_names(module.read_text())] == []


def test_what_is_no_program_raises():
    with pytest.raises(SyntaxError):
        undefined_names("def f(:")
