"""What a program must pass to be called verified: tests of a person, or examples of a docstring."""

import ast
import dataclasses
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from hrm_jax.core.errors import UserError
from hrm_jax.data.text.names import undefined_names
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.verified.examples import Example
from hrm_jax.verified.imports import without_absent

_UNITS = "hrm_jax.evaluation.judge.inside.units"
_TOO_DEEP = "expected tests in Python, got some that are nested too deep; split them"


class CheckError(UserError, ValueError):
    """Tests cannot be used; the message says what was expected."""


@dataclasses.dataclass(frozen=True)
class Check:
    """Tests in Python.

    Attributes:
      source: of the tests, as the examiner runs them; it raises unless all pass.
      names: names that they take from the program, at least one.
    """

    source: str
    names: tuple[str, ...]

    def exam_of(self, program: str) -> Exam:
        """Returns the exam of a program."""
        return Exam("python", program, self.source, self.names)


def check_of_tests(source: str, place: str, *, packages: Sequence[str]) -> Check:
    """Returns the check of a file of tests.

    A test is an assert of the module, a function `test_*` (as pytest's, with `parametrize`, without
    fixtures), or a method of a `unittest.TestCase`. Names that tests import from modules that are
    neither of the standard library nor among `packages` are taken from the program, as are names
    that are defined nowhere.

    Args:
      source: the tests, Python.
      place: what to call them in messages.
      packages: what tests may import besides the standard library.

    Raises:
      CheckError: it is not Python, wants a fixture, or takes nothing from the program.
    """
    try:
        return _check_of_tests(source, place, packages)
    except (RecursionError, MemoryError) as error:
        # Python's parser raises the one, and what walks its tree the other.
        raise CheckError(f"{place}: {_TOO_DEEP}") from error


def _check_of_tests(source: str, place: str, packages: Sequence[str]) -> Check:
    try:
        # Python warns of the tests' own text, which is not what is asked here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise CheckError(f"{place}: expected tests in Python, got {error}") from error
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test"):
            _check_fixtures(statement, place)
    tree, imported = without_absent(tree, {*sys.stdlib_module_names, *packages})
    text = ast.unparse(tree)
    # What tests import from modules that are not there, and what nobody defines.
    names = imported | free_names(text)
    if not names:
        raise CheckError(
            f"{place}: expected tests of what is written, got none that use a name of it; call its "
            "functions, or import them"
        )
    return Check(_call("run_module", text), tuple(sorted(names)))


def check_of_examples(examples: Sequence[Example]) -> Check:
    """Returns the check of examples.

    Raises:
      CheckError: there is none, or none that takes anything from the program.
    """
    names = free_names("\n".join(example.source for example in examples))
    if not names:
        raise CheckError(
            "expected examples in the docstring that call what is written, such as\n"
            "    >>> double(2)\n    4\ngot none; add one, or give tests"
        )
    return Check(
        _call("run_examples", [dataclasses.asdict(example) for example in examples]),
        tuple(sorted(names)),
    )


def free_names(source: str) -> set[str]:
    """Returns the names that a module uses and neither defines nor finds among Python's own.

    Raises:
      CheckError: it parses, but is no Python, as `return` outside of a function is not.
    """
    try:
        return undefined_names(source)
    except SyntaxError as error:
        raise CheckError(f"expected tests in Python, got {error.msg}: correct them") from error
    except RecursionError as error:
        raise CheckError(_TOO_DEEP) from error


def _call(function: str, tests: Any) -> str:
    """Returns a program that runs tests in its own namespace, to which it adds no name."""
    return f"__import__('importlib').import_module({_UNITS!r}).{function}({tests!r}, globals())\n"


def _check_fixtures(function: ast.FunctionDef, place: str) -> None:
    given: set[str] = set()
    for decorator in function.decorator_list:
        # By whatever name it was imported.
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize"):
            given |= _parametrized(decorator)
    arguments = function.args.args
    # Those with a default are the last.
    without_default = arguments[: len(arguments) - len(function.args.defaults)]
    fixtures = [one.arg for one in without_default if one.arg not in given]
    if fixtures:
        raise CheckError(
            f"{place}: {function.name}: expected a test without fixtures, got "
            f"{', '.join(fixtures)}; make the value in the test itself"
        )


def _parametrized(decorator: ast.Call) -> set[str]:
    """Returns the names that `pytest.mark.parametrize` gives values to."""
    if not decorator.args:
        return set()
    try:
        names = ast.literal_eval(decorator.args[0])
    except ValueError:
        # Names that only running it would tell.
        return set()
    if not isinstance(names, str | list | tuple):
        return set()
    return {str(name).strip() for name in (names.split(",") if isinstance(names, str) else names)}
