"""Runs the parts of tests one by one, and counts those that pass: asserts, functions, examples.

Tests of a suite end at their first failure; those of a person tell more if each of them runs.
"""

import ast
import contextlib
import doctest
import io
import itertools
import unittest
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_SHOWN = 200
"""Largest number of characters of a value or a message that is told."""


class TestsFailed(AssertionError):
    """Not all tests passed; the message tells how many did, and of the first that did not, why.

    Attributes:
      right: number of tests that passed.
      total: number of all tests.
    """

    __test__ = False  # it is no test, whatever pytest takes its name for

    def __init__(self, right: int, total: int, why: str):
        super().__init__(f"passed {right} of {total}; {why}")
        self.right = right
        self.total = total


class _Tally:
    """Counts tests."""

    def __init__(self) -> None:
        self.right = 0
        self.total = 0
        self.why = ""

    def run(self, name: str, test: Callable[[], object]) -> None:
        """Runs a test, which fails by raising."""
        self.total += 1
        try:
            test()
        # SystemExit of a test would end the others; what ends the examination is no Exception.
        except (Exception, SystemExit) as error:
            self.why = self.why or ": ".join(filter(None, (name, _told(error))))
        else:
            self.right += 1

    def close(self) -> None:
        """Raises TestsFailed unless all passed."""
        if self.right < self.total:
            raise TestsFailed(self.right, self.total, self.why)


def run_module(source: str, names: dict[str, Any]) -> None:
    """Runs a module of tests: its asserts, its functions `test_*`, and its `unittest.TestCase`s.

    Other statements run once, in their place, and must not raise. Functions run after the module,
    with the arguments that `pytest.mark.parametrize` gives.

    Args:
      source: the module; names of the program are those in `names`.
      names: its namespace, which it adds to.

    Raises:
      TestsFailed: not all passed.
      Exception: a statement between the tests raised it.
    """
    tally = _Tally()
    # One by one, as an assert that fails must not end the others.
    for statement in ast.parse(source).body:
        code = _telling([statement], names)
        if isinstance(statement, ast.Assert):
            tally.run("", lambda code=code: exec(code, names))
        else:
            exec(code, names)
    # A copy, as tests may add names.
    for name, value in list(names.items()):
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            for method in unittest.defaultTestLoader.getTestCaseNames(value):
                # `debug` lets what a test raises through, and collects nothing.
                case = value(method)
                tally.run(f"{name}.{method}", case.debug)
        elif name.startswith("test") and callable(value) and hasattr(value, "__code__"):
            for told, arguments in _calls(value):
                tally.run(f"{name}{told}", lambda f=value, a=arguments: f(**a))
    tally.close()


def run_examples(examples: Sequence[Mapping[str, Any]], names: dict[str, Any]) -> None:
    """Runs examples of docstrings, in their order.

    Args:
      examples: `source` of each; `want`, what it prints, as `doctest` writes it; `error`, the
        exception it raises, or None; and `options`, flags of `doctest`. Statements that want
        nothing prepare others.
      names: their namespace, which they add to.

    Raises:
      TestsFailed: not all passed.
    """
    tally = _Tally()
    for example in examples:
        source = example["source"]
        body = ast.parse(source).body
        # As for `doctest`, an expression that nothing is said of gives None.
        if example["want"] or example["error"] or isinstance(body[-1], ast.Expr | ast.Assert):
            tally.run(_short(source), lambda one=example: _run_example(one, names))
        else:
            exec(compile(source, "example.py", "exec"), names)
    tally.close()


def _run_example(example: Mapping[str, Any], names: dict[str, Any]) -> None:
    printed = io.StringIO()
    value = None
    try:
        with contextlib.redirect_stdout(printed):
            value = _evaluate(example["source"], names)
    except AssertionError:
        # Its message says what was wrong.
        raise
    except Exception as error:
        if example["error"] is None:
            raise
        raised = f"{type(error).__name__}: {error}\n"
        wanted = example["error"]
        if not _prints(_unqualified(wanted), raised, example["options"]):
            raise AssertionError(f"expected {wanted.strip()}, got {raised.strip()}") from None
        return
    # An exception was wanted, and none came.
    if example["error"] is not None:
        raise AssertionError(f"expected {example['error'].strip()}, got {_repr(value)}")
    text = printed.getvalue() + ("" if value is None else f"{value!r}\n")
    if not _is_wanted(value, text, example):
        wanted = _short(example["want"].strip())
        got = _short(text.strip())
        raise AssertionError(f"expected {wanted or 'nothing'}, got {got or 'nothing'}")


def _is_wanted(value: Any, text: str, example: Mapping[str, Any]) -> bool:
    """Returns whether an example gave what is wanted: an equal value, or else the same text.

    Equal, as sets and dictionaries print in several orders, 2.0 is meant where 2 is written, and an
    object may print as it likes.
    """
    want = example["want"]
    options = example["options"]
    alone = text == ("" if value is None else f"{value!r}\n")  # nothing was printed besides
    if alone and not options & doctest.ELLIPSIS:
        try:
            wanted = ast.literal_eval(want.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
        else:
            # True is not meant where 1 is written.
            return isinstance(value, bool) == isinstance(wanted, bool) and bool(wanted == value)
    return _prints(want, text, options)


def _evaluate(source: str, names: dict[str, Any]) -> Any:
    """Returns the value of an expression; None of statements."""
    body = ast.parse(source).body
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return eval(compile(ast.Expression(body[0].value), "example.py", "eval"), names)
    return exec(_telling(body, names), names)


def _prints(want: str, got: str, options: int) -> bool:
    return doctest.OutputChecker().check_output(want, got, options | doctest.NORMALIZE_WHITESPACE)


_OPERANDS = ("left operand", "right operand")
_TELL = "told of operands"
"""Names that no program can use, as they have spaces."""


class _Telling(ast.NodeTransformer):
    """Makes asserts that compare two values tell both."""

    def visit_Assert(self, node: ast.Assert) -> Any:
        """Evaluates the operands before they are compared; others tell their text."""
        text: ast.expr = ast.Constant(_short(ast.unparse(node.test)))
        message = node.msg or ast.Constant(None)
        if not isinstance(node.test, ast.Compare) or len(node.test.ops) > 1:
            told = ast.Call(ast.Name(_TELL, ast.Load()), [text, message], [])
            return ast.copy_location(ast.Assert(node.test, told), node)
        values = (node.test.left, node.test.comparators[0])
        # Evaluated once, and kept under names that no program has, to be compared and told.
        assigned = [
            ast.Assign([ast.Name(name, ast.Store())], value)
            for name, value in zip(_OPERANDS, values, strict=True)
        ]
        left, right = (ast.Name(name, ast.Load()) for name in _OPERANDS)
        told = ast.Call(
            ast.Name(_TELL, ast.Load()),
            [text, message, ast.Constant(type(node.test.ops[0]).__name__), left, right],
            [],
        )
        compared = ast.Assert(ast.Compare(left, node.test.ops, [right]), told)
        return [ast.copy_location(one, node) for one in (*assigned, compared)]


def _telling(statements: list[ast.stmt], names: dict[str, Any]) -> Any:
    """Returns the code of statements whose asserts tell what they compare."""
    names[_TELL] = _told_of
    tree = _Telling().visit(ast.Module(statements, []))
    return compile(ast.fix_missing_locations(tree), "tests.py", "exec")


def _told_of(
    text: str, message: Any, operator: str = "", left: Any = None, right: Any = None
) -> str:
    """Returns the message of an assert that failed."""
    told = "it is false"
    if operator == "Eq":
        told = f"expected {_repr(right)}, got {_repr(left)}"
    elif operator:
        told = f"got {_repr(left)} and {_repr(right)}"
    return ": ".join([text, *([] if message is None else [_short(str(message))]), told])


def _calls(function: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the arguments of a test function's calls, each with what tells it from the others."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    choices = []
    for mark in marks:
        names, values = mark.args[:2]
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",")]
        rows = [_row(value, len(names)) for value in values]
        choices.append([dict(zip(names, row, strict=True)) for row in rows])
    # Several marks give all their combinations.
    for choice in itertools.product(*choices):
        arguments = {name: value for part in choice for name, value in part.items()}
        told = ", ".join(f"{name}={_repr(value)}" for name, value in arguments.items())
        yield f"[{told}]" if told else "", arguments


def _row(value: Any, count: int) -> Sequence[Any]:
    """Returns the values of one row of `parametrize`, of which each has `count`."""
    if hasattr(value, "marks"):  # made by `pytest.param`
        return value.values
    return value if count > 1 else (value,)


def _unqualified(error: str) -> str:
    """Returns an exception's line without the module of its class, as tracebacks write it."""
    kind, colon, message = error.partition(":")
    return kind.rpartition(".")[2] + colon + message


def _told(error: BaseException) -> str:
    # An exception of the program may print as it likes, or fail to.
    try:
        message = _short(str(error))
    except Exception:
        message = "?"
    return message if type(error) is AssertionError else f"{type(error).__name__}: {message}"


def _repr(value: Any) -> str:
    return _short(repr(value))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
