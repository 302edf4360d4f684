"""Objects of a program that claim to be whatever tests expect: no operator believes them."""

import pytest

LIAR = """
class Liar{base}:
    def yes(self, *others): return True
    def this(self, *others): return self
    def none(self, *others): return 0
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = yes
    startswith = endswith = isdisjoint = issubset = issuperset = yes
    __add__ = __radd__ = __mul__ = __rmul__ = __or__ = __and__ = __rand__ = __neg__ = __pos__ = this
    __iadd__ = __call__ = __enter__ = copy = lower = strip = replace = split = union = this
    __sub__ = __rsub__ = __xor__ = __rxor__ = __mod__ = __rmod__ = __truediv__ = none
    __abs__ = __len__ = __round__ = __floor__ = __trunc__ = __index__ = __int__ = none
    def __ne__(self, other): return False
    def __hash__(self): return hash(2)
    def __float__(self): return 0.0
    def __iter__(self): return iter([self])
    def __getitem__(self, key): return self
    def __getattr__(self, name): return self
    def __str__(self): return Liar('liar') if {base_is_str} else 'liar'
    __repr__ = __str__
    def __format__(self, form): return 'liar'
    def __exit__(self, *error): return True
    @property
    def __class__(self): return int
    @property
    def __dict__(self): return self
    def __instancecheck__(self, other): return True
def f(x): return Liar({value})
def g(x): raise KeyError(Liar({value}), Liar({value}))
"""
BASES = {
    "": "",
    "(int)": "7",
    "(float)": "7.5",
    "(str)": "'liar'",
    "(list)": "[7]",
    "(tuple)": "[7]",
    "(dict)": "{7: 7}",
    "(set)": "{7}",
    "(Exception)": "'liar'",
}
TESTS = """assert f(1) == 2
assert 2 == f(1)
assert not f(1) != 2
assert f(1) == 'a'
assert f(1) == [1, 2]
assert f(1) == (1, 2)
assert f(1) == {'a': 1}
assert [f(1)] == [2]
assert (1, f(1)) == (1, 2)
assert {'a': f(1)} == {'a': 2}
assert {f(1)} == {2}
assert {f(1): 1} == {2: 1}
assert f(1) in [2, 3]
assert 2 in f(1)
assert [2].index(f(1)) == 0
assert abs(f(1) - 2.25) < 1e-6
assert abs(2.25 - f(1)) < 1e-6
assert not f(1) - 2
assert not f(1) ^ {1, 2}
assert f(1) / 2 == 1
assert -f(1) == -2
assert f(1) + 1 == 3
assert 1 + f(1) == 3
assert 1.5 <= f(1) <= 2.5
assert round(f(1), 2) == 2.25
import math; assert math.isclose(f(1), 2.25)
import math; assert math.floor(f(1)) == 2
assert list(f(1)) == [1, 2]
assert sorted(f(1)) == [1, 2]
assert set(f(1)) == {1, 2}
assert f(1)[0] == 1
assert f(1)['a'] == 1
assert f(1)(2) == 3
assert f(1).value == 2
assert len(f(1)) == 2
assert str(f(1)) == '2'
assert f'{f(1)}' == '2'
assert repr(f(1)) == '2'
assert f(1).lower() == 'a'
assert f(1).startswith('ab') and not f(1).startswith('cd')
assert f(1).issubset({1, 2}) and not f(1).isdisjoint({2}) and f(1) == {2}
assert isinstance(f(1), int) and f(1) == 2
assert vars(f(1)) == {'value': 2}
x = f(1); x += 1; assert x == 3
x = [1]; x += f(1); assert x == [1, 1, 2]
with f(1) as x: assert x == 2
import unittest; unittest.TestCase().assertEqual(f(1), 2)
import unittest; unittest.TestCase().assertAlmostEqual(f(1), 2.25)
import unittest; unittest.TestCase().assertIn(2, f(1))
import unittest; unittest.TestCase().assertCountEqual(f(1), [1, 2])
import unittest; unittest.TestCase().assertLess(abs(f(1) - 2.25), 0.1)
import copy; assert copy.deepcopy(f(1)) == 2
import operator; assert operator.eq(f(1), 2)
import functools; assert functools.reduce(lambda a, b: a + b, [f(1), 1]) == 3
assert sum([f(1), 1]) == 3
assert max(f(1), 1) == 2
assert max(f(1), 1, key=lambda x: x) == 2
try: g(1)
except KeyError as error: assert error.args == (2, 3)
try: g(1)
except KeyError as error: assert str(error) == '2' or error.args[0] == 2
assert list(filter(lambda x: x == 2, [f(1)]))
match f(1):
    case 2 | 'a' | [1, 2]: pass
    case _: raise AssertionError"""
_GOES_ON = ("except", "    ")


def test_no_operator_believes_an_object_that_agrees_to_everything(judged_together):
    tests: list[str] = []
    for line in TESTS.splitlines():
        if line.startswith(_GOES_ON):
            tests[-1] += f"\n{line}"
        else:
            tests.append(line)
    snippets = []
    for base, value in BASES.items():
        program = LIAR.replace("{base}", base).replace("{value}", value)
        program = program.replace("{base_is_str}", str(base == "(str)"))
        snippets += [(program, test) for test in tests]
    reference = "def f(x): return 2\ndef g(x): return 2"
    reports = judged_together(snippets, reference)
    passed = [
        (program.split(":")[0].strip(), test)
        for (program, test), report in zip(snippets, reports, strict=True)
        if report["passed"]
    ]
    assert not passed, "\n".join(map(str, passed))


FICKLE = """
class Fickle:
    def __init__(self, *values):
        self.values = values
        self.count = 0
    def next(self, *details):
        self.count += 1
        return self.values[self.count % len(self.values)]
    def __iter__(self): return iter(self.next())
    __float__ = __int__ = __index__ = __complex__ = __round__ = next
    __trunc__ = __floor__ = __ceil__ = next
def number(a, b): return Fickle(a, b)
def items(a, b): return Fickle(a, b)
def items_of_list(a, b):
    class Items(list, Fickle): __iter__ = Fickle.__iter__
    made = Items(a)
    Fickle.__init__(made, a, b)
    return made
"""
FICKLE_TESTS = """assert [float(x), float(x)] in ([2.0, 3.0], [3.0, 2.0])
assert [int(x), int(x)] in ([2, 3], [3, 2])
assert [complex(x), complex(x)] in ([2, 3], [3, 2])
assert [round(x), round(x)] in ([2, 3], [3, 2])
assert [range(4)[x], range(4)[x]] in ([2, 3], [3, 2])
assert [math.pow(x, 1), math.pow(x, 1)] in ([2, 3], [3, 2])
assert [math.trunc(x), math.trunc(x)] in ([2, 3], [3, 2])
assert [math.floor(x), math.floor(x)] in ([2, 3], [3, 2])
assert [math.ceil(x), math.ceil(x)] in ([2, 3], [3, 2])
assert math.isclose(x, 2) and math.isclose(x, 3)"""


def test_an_object_is_not_another_number_at_each_use(judged_together):
    tests = [f"import math\nx = number(2, 3)\n{test}" for test in FICKLE_TESTS.splitlines()]
    reports = judged_together([(FICKLE, test) for test in tests], "def number(a, b): return a")
    assert not [report for report in reports if report["passed"]]


@pytest.mark.parametrize("make", ["items", "items_of_list"])
def test_an_object_gives_the_same_items_until_something_may_have_changed(judged_together, make):
    start = f"x = {make}([3, 1], [1, 3])\n"
    snippets = [
        (FICKLE, start + "a = list(x)\nlen([])\nassert list(x) != a"),
        (FICKLE, start + "a = next(iter(x))\nassert next(iter(x)) != a"),
        (FICKLE, start + "y = items([0], [0])\na = list(x)\nlist(y)\nassert sorted(x) == [1, 3]"),
        (FICKLE, start + "a = list(x)\nx.next()\nx.next()\nassert list(x) != a"),
    ]
    passed = [report["passed"] for report in judged_together(snippets, "")]
    assert passed == [False, False, True, True]


RETURNS_ITSELF = """
class Circle:
    def __init__(self, radius=1): kept.append(self)
    def area(self): return self
    def areas(self): return [self]
    def after(self, function): return function(self)
    def __call__(self): return Circle()
    def __enter__(self): return self
    def __exit__(self, *error): return True
    def __sub__(self, other): return self
    def __abs__(self): return self
    def __float__(self): return 78.54
    def __lt__(self, other): return True
    def __contains__(self, other): return True
    def startswith(self, text): return True
    def crash(self): raise KeyError
class Kind(type):
    __sub__ = __lt__ = Circle.__sub__
class Area(metaclass=Kind):
    def area(self): return Area
kept = []
def last(): return kept[-1]
"""
RETURNED = """c.area()
last()
c.areas()[0]
c()
c.after(lambda circle: circle)
Area().area()"""


@pytest.mark.parametrize(
    "test",
    [
        "assert abs(X - 78.54) < 0.01",
        "assert X < 2",
        "assert 3 in X",
        "assert math.isclose(X, 78.54)",
        "assert X.startswith('a')",
        "x = X\nx -= 78.54\nassert abs(x) < 0.01",
    ],
)
def test_an_object_of_the_tests_is_not_believed_as_an_answer(judged_together, test):
    start = "import math\nc = Circle(5)\nArea\n"
    snippets = [
        (RETURNS_ITSELF, start + test.replace("X", value)) for value in RETURNED.splitlines()
    ]
    reports = judged_together(snippets)
    assert not [report for report in reports if report["passed"]]
    assert all("Name" not in report["detail"] for report in reports)


def test_what_tests_make_may_define_its_operators_until_it_is_an_answer(judged_together):
    tests = [
        "assert Circle() < 2 and 3 in Circle() and Circle().startswith('a')",
        "c = Circle()\nc - 1\nc -= 1\nassert c < 2 and c - 1 < 2 and c.area() is c",
        "assert Circle().__class__ is Circle and Circle() < 2",
    ]
    assert all(r["passed"] for r in judged_together([(RETURNS_ITSELF, test) for test in tests]))


@pytest.mark.parametrize("body", ["c.crash()", "assert False", "raise ValueError"])
def test_no_object_keeps_exceptions_to_itself(judged_together, body):
    (report,) = judged_together([(RETURNS_ITSELF, f"c = Circle()\nwith c: {body}")])
    assert not report["passed"]


@pytest.mark.parametrize("name", ["eval", "exec", "__import__", "getattr"])
def test_functions_of_the_library_do_nothing_in_the_process_of_the_tests(judged_together, name):
    program = """
def f(function, place):
    if function.__name__ == '__import__': return function('os').environ.get(place)
    if function.__name__ == 'getattr': return function(__import__('os'), 'environ').get(place)
    found = []
    function(f"found.append(__import__('os').environ.get('{place}'))", {'found': found})
    return found[0]
"""
    tests = f"import os; os.environ['PLACE'] = 'tests'\nassert f({name}, 'PLACE') == 'tests'"
    (report,) = judged_together([(program, tests)])
    assert report["detail"] == "AssertionError: "


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("str.format", "'{0.__globals__[secret]}', g"),
        ("str.format_map", "'{g.__globals__[secret]}', {'g': g}"),
        ("string.Formatter.format", "string.Formatter(), '{0.__globals__[secret]}', g"),
        ("object.__getattribute__", "g, '__globals__'"),
    ],
)
def test_methods_of_the_library_do_nothing_in_the_process_of_the_tests(
    judged_together, name, arguments
):
    program = f"import string\ndef f(method, g): return method({arguments})"
    tests = f"import string\nsecret = '42'\nassert '42' in str(f({name}, lambda: 0))"
    assert not judged_together([(program, tests)])[0]["passed"]


def test_functions_of_tests_are_only_called(judged_together):
    snippets = [
        ("def f(g): return g.__globals__['secret']", "secret = 5\ndef g(): pass\nassert f(g) == 5"),
        ("def f(g): return g.__call__.__self__()", "assert f(lambda: 5) == 6"),
        ("def f(g): return g(lambda: 1)", "assert f(lambda h: h == 5)"),
    ]
    assert not [report for report in judged_together(snippets) if report["passed"]]
