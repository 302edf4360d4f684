"""Judged beside plain Python: the same verdicts, but for the differences that are listed here.

Programs and tests are those of `snippets.txt`, and values of every plain type with what tests ask
of them. Plain Python runs both in one process.
"""

import pathlib
import re

import pytest

SNIPPETS = pathlib.Path(__file__).with_name("snippets.txt")

IMPORTS = """import math
from collections import *
from datetime import *
from decimal import Decimal
from fractions import Fraction
from array import array
from http import HTTPStatus
from ipaddress import *
from pathlib import *
from re import RegexFlag
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo
"""
VALUES = """0 | -7 | True | None | 2.5 | float('inf') | -0.0 | 10**40 | 1+2j | '' | 'é' | b'a' | []
[1, [2]] | () | (1,) | {} | {'a': (1, 2)} | set() | {1, 2} | frozenset({1}) | bytearray(b'a')
range(3) | Fraction(1, 3) | Decimal('1.10') | date(2020, 1, 2) | datetime(2020, 1, 2, 3) | time(4)
timedelta(5) | timezone.utc | deque([1]) | Counter('aab') | OrderedDict(a=1) | defaultdict(int, a=1)
{1: 2}.keys() | {1: 2}.items() | int | deque | ValueError
PurePath('a/b') | PureWindowsPath('a/b') | Path('a') | UUID(int=5) | ip_address('1.1.1.1')
ip_network('1.0.0.0/8') | ip_interface('::1/64') | array('i', [1, 2]) | array('d') | ...
SimpleNamespace(a=[1]) | NotImplementedError | HTTPStatus.OK | RegexFlag.I | ZoneInfo('UTC')
datetime(2020, 7, 2, 3, tzinfo=ZoneInfo('Europe/Paris'))
time(4, tzinfo=timezone.utc)""".replace("\n", " | ").split(" | ")
QUESTIONS = """assert f() == X | assert X == f() | assert f() != X | assert repr(f()) == repr(X)
assert [f(), 1] == [X, 1] | assert type(f()) is type(X) | assert str(f()) == str(X) + ' '
assert bool(f()) == bool(X)""".replace("\n", " | ").split(" | ")

DIFFERENCES = {
    # What the program is given and what it answers are copies.
    "def f(x): x.sort()": "x = [2, 1]\nf(x)\nassert x == [1, 2]",
    "def f(x): return x": "x = [1]\nassert f(x) is x",
    "class S:\n    def __init__(self): self.items = []": (
        "s = S()\ns.items.append(1)\nassert s.items"
    ),
    # An object of the program, met with a value of the tests, has its plain part and no more.
    "class L:\n    def __eq__(self, other): return True\ndef f(): return L()": "assert f() == 3",
    "class N:\n    def __init__(self): self.n = 3\n    def __eq__(self, other): return other == 3\n"
    "def f(): return N()": "assert f() == 3",
    "class L(list):\n    def __eq__(self, other): return True\ndef f(): return L()": (
        "assert f() == [1]"
    ),
    "class M:\n    def __add__(self, n): return 5 + n\ndef f(): return M()": "assert f() + 1 == 6",
    "class C:\n    def __contains__(self, x): return True\ndef f(): return C()": "assert 3 in f()",
    "import contextlib\ndef f(): return contextlib.suppress(KeyError)": "with f(): {}['a']",
    "class K:\n    def __enter__(self): pass\n    def __exit__(self, *error): return True": (
        "with K(): raise ValueError('kept inside')"
    ),
    "class D:\n    def __float__(self): return 2.5\ndef f(): return D()": (
        "assert float(f()) == 2.5"
    ),
    "class W:\n    def startswith(self, text): return True\ndef f(): return W()": (
        "assert f().startswith('a')"
    ),
    # An object that tests made is an answer from when a method returns it.
    "class O:\n    def set(self, n):\n        self.n = n\n        return self\n"
    "    def __add__(self, n): return self.n + n": "assert O().set(3) + 1 == 4",
    # Functions of the standard library are the program's own.
    "def f(g): return g": "assert f(len) is len",
    # What stands for an object is not of its class.
    "class P: pass\ndef f(): return P()": "assert type(f()) is P",
    "import dataclasses\n@dataclasses.dataclass\nclass D:\n    x: int": (
        "import dataclasses\nassert dataclasses.asdict(D(1)) == {'x': 1}"
    ),
    # Types of the library without a plain form, and its state, which each process has for itself.
    "import collections\ndef f(): return collections.ChainMap({1: 2})": "assert f() == {1: 2}",
    "import collections\ndef f(): return collections.UserList([1])": "assert f() == [1]",
    "import types\ndef f(): return types.MappingProxyType({1: 2})": "assert f() == {1: 2}",
    "def f(): return memoryview(b'a')": "assert f() == b'a'",
    "import re\ndef f(): return re.compile('a')": "import re\nassert f() == re.compile('a')",
    "def f(x): return x.read()": "import io\nassert f(io.StringIO('a')) == 'a'",
    "import random\ndef f(): return random.random()": (
        "import random\nrandom.seed(1)\nx = f()\nrandom.seed(1)\nassert f() == x"
    ),
    "def f(): print('a')": (
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as out: f()\n"
        "assert out.getvalue() == 'a\\n'"
    ),
    "def f(x, y): pass": "import inspect\nassert str(inspect.signature(f)) == '(x, y)'",
    "def f(): raise KeyError from ValueError()": (
        "try: f()\nexcept KeyError as error: assert error.__cause__"
    ),
    "def f(x): return x.y": "class T: y = 1\nassert f(T()) == 1",
    "class A: pass": "class B(A): pass\nassert B()",
}
"""Tests, by program, that pass in plain Python and not when judged."""


def written():
    """Program and tests of each snippet in the file."""
    for block in SNIPPETS.read_text().split("=== ")[1:]:
        program, *tests = re.split(r"^--- ", block.partition("\n")[2], flags=re.MULTILINE)
        for test in tests:
            yield program, test.replace("\n    ", "\n")


def generated():
    """Program and tests of each question about each value."""
    for value in VALUES:
        for question in QUESTIONS:
            tests = IMPORTS + re.sub(r"\bX\b", value.replace("\\", "\\\\"), question)
            yield f"{IMPORTS}def f(): return {value}", tests


def in_plain_python(program, tests):
    names = {"__name__": "candidate"}
    try:
        exec(program, names)
        exec(tests, names)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("kind", [written, generated])
def test_verdicts_are_those_of_plain_python(judged_together, kind):
    snippets = list(kind())
    reports = judged_together(snippets)
    plain = [in_plain_python(*snippet) for snippet in snippets]
    differing = [
        f"{tests}\n  plain: {right}, judged: {report}"
        for (_, tests), right, report in zip(snippets, plain, reports, strict=True)
        if report["passed"] is not right
    ]
    assert not differing, "\n".join(differing)
    assert len(snippets) > 250
    assert 0.6 < sum(plain) / len(plain) < 0.95  # right and wrong programs


def test_the_differences_are_these(judged_together):
    assert all(in_plain_python(*snippet) for snippet in DIFFERENCES.items())
    assert not [report for report in judged_together(DIFFERENCES.items()) if report["passed"]]
