"""Runs the tests of a problem against a program in another sandbox, and reports.

It reads the exam, a line of JSON, from standard input; exchanges requests and answers with the
candidate through two descriptors named on the command line; and writes its report, a line of JSON,
to standard output. The candidate sees the arguments of calls and nothing else: not the tests, not
what they expect, not the report. Tests run here, on values built here.
"""

import collections.abc
import json
import operator
import os
import sys
from typing import Any, BinaryIO

from hrm_jax.evaluation.judge.inside import wire
from hrm_jax.evaluation.judge.inside.errors import (
    ErrorClass,
    answered_error,
    error_answer,
    make_error,
    make_error_class,
    number_of_error,
)
from hrm_jax.evaluation.judge.inside.forms import base_form, plain_part
from hrm_jax.evaluation.judge.inside.remote import is_remote, make_remote, state_of
from hrm_jax.evaluation.judge.inside.units import TestsFailed

MAX_ITEMS = 1_000_000
"""Limit for the items of an iterator of the tests that are sent, as some never end."""


_QUIET = ("plain", "take", "iter", "len")
"""Requests that change no value that tests could see otherwise than by going through it."""


class CandidateGoneError(BaseException):
    """The candidate ended or broke the protocol.

    It derives from BaseException, so that no `except Exception` of a test catches it.
    """


class Channel:
    """Sends requests to the candidate, and keeps what stands for its values.

    Args:
      requests: where requests are written.
      answers: where answers are read.

    Attributes:
      changes: number of requests that may have changed something there.
    """

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self._requests = requests
        self._answers = answers
        self._functions = wire.Numbers()
        self._known: dict[int, Any] = {}
        self.changes = 0

    def ask(self, do: str, *items: Any) -> Any:
        """Sends one request and returns its answer.

        Raises:
          CandidateGoneError: no answer, or one that means nothing.
          TypeError: an item cannot be sent.
          BaseException: what the program raised.
        """
        # The first item of `apply` names the function.
        self.changes += do not in _QUIET and not (do == "apply" and items[0] in _QUIET)
        self._send({"do": do, "items": [wire.encode(item, self) for item in items]})
        answer = self._receive()
        # Before it answers, the program may call functions that the tests gave to it.
        while isinstance(answer, dict) and "call" in answer:
            self._send(self._call(answer))
            answer = self._receive()
        if isinstance(answer, dict) and "value" in answer:
            return self._trying(wire.decode, answer["value"], self)
        raise self._trying(answered_error, answer, self)

    def encode_other(self, value: Any) -> Any:
        """Returns the data of a value that the candidate knows, or may call; see `wire.Side`."""
        if is_remote(value):
            return {"kind": "object", "items": [state_of(value).number]}
        if isinstance(value, ErrorClass):
            return {"kind": "error", "items": [value._remote_class[1]]}
        if isinstance(value, BaseException):
            return wire.encode_exception(value, number_of_error(value), self)
        # Gone through here, as the program cannot ask for the items of a value of the tests.
        if isinstance(value, collections.abc.Iterator):
            items = [wire.encode(item, self) for item in _bounded(value)]
            return {"kind": "iterator", "items": items}
        if _is_named_tuple(value):
            items = [type(value).__name__, type(value)._fields, tuple(value)]
            return {"kind": "named tuple", "items": [wire.encode(item, self) for item in items]}
        # Of a class that tests derive from a plain type, the plain part goes.
        if base_form(value) is not None:
            return wire.encode(plain_part(value), self)
        place = _place_in_library(value)
        if place is not None:
            return {"kind": "library", "items": place}
        if callable(value):
            name = str(getattr(value, "__name__", type(value).__name__))
            return {"kind": "test", "items": [self._functions.number_of(value), name]}
        raise TypeError(
            f"expected plain values and functions for the program, got a {type(value).__name__}"
        )

    def decode_other(self, kind: str, items: list[Any]) -> Any:
        """Returns what stands for a value of the candidate; see `wire.Side`."""
        number = items[0]
        if kind == "test":
            return self._functions.value_of(number)
        if not isinstance(number, int) or kind not in _STAND_INS:
            raise TypeError(f"expected a value and its number, got {kind!r} {number!r}")
        # One stands for a value, however often it comes: tests may compare by `is`.
        if number not in self._known:
            self._known[number] = _STAND_INS[kind](self, *items)
        elif is_remote(self._known[number]):
            state_of(self._known[number]).return_again()
        return self._known[number]

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Calls a function of the tests for the program; returns the answer to the program."""
        function = self._trying(self._functions.value_of, request["call"])
        arguments, options = self._trying(
            lambda: [wire.decode(item, self) for item in request["items"]]
        )
        try:
            return {"value": wire.encode(function(*arguments, **options), self)}
        # What ends the examination is no Exception, and passes through.
        except Exception as error:
            return error_answer(error, self)

    def _send(self, data: Any) -> None:
        try:
            wire.write_line(self._requests, data)
        except OSError as error:
            raise CandidateGoneError("the program ended during the tests") from error

    def _receive(self) -> Any:
        try:
            answer = wire.read_line(self._answers)
        except OSError as error:
            raise CandidateGoneError("the program ended during the tests") from error
        except (ValueError, RecursionError) as error:
            raise CandidateGoneError("the program spoke to the examiner") from error
        if answer is None:
            raise CandidateGoneError("the program ended during the tests")
        return answer

    def _trying(self, read: Any, *items: Any) -> Any:
        """Returns what `read` makes of the candidate's data."""
        try:
            return read(*items)
        except Exception as error:
            raise CandidateGoneError("the program spoke to the examiner") from error


_STAND_INS = {
    "object": make_remote,
    "error": make_error_class,
    "exception": lambda channel, number, kind, arguments: make_error(kind, arguments, number),
}
"""What makes a stand-in for a value of the candidate, of its channel, number and other items."""


def examine(exam: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Runs an exam and returns the report: `passed`, and `detail` otherwise.

    Where tests were counted, it has how many there are, `total`, and how many passed, `right`.

    Args:
      exam: `program`, what the model wrote; `reference`, trusted, whose names the tests may use;
        `remote`, the names that are the program's; `tests`.
      channel: to the candidate.
    """
    names: dict[str, Any] = {"__name__": "tests"}
    try:
        channel.ask("load", exam["program"])
        exec(compile(exam["reference"], "reference.py", "exec"), names)
        # After the reference ran: the program's functions replace the reference's of the same name.
        names.update({name: _find(channel, name, names.get(name)) for name in exam["remote"]})
        exec(compile(exam["tests"], "tests.py", "exec"), names)
    except TestsFailed as error:
        counts = {"right": error.right, "total": error.total}
        return {"passed": False, "detail": str(error)[:500], **counts}
    except BaseException as error:
        return {"passed": False, "detail": f"{type(error).__name__}: {error}"[:500]}
    return {"passed": True, "detail": ""}


def main() -> None:
    """Examines the exam on standard input; the command line names the descriptors."""
    sys.set_int_max_str_digits(0)
    requests, answers = (int(argument) for argument in sys.argv[1:])
    channel = Channel(os.fdopen(requests, "wb"), os.fdopen(answers, "rb"))
    exam = json.loads(sys.stdin.readline())
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what tests print is no report
    print(json.dumps(examine(exam, channel)), file=report, flush=True)
    os._exit(0)  # the pipes may be broken, and no test may have the last word


def _find(channel: Channel, name: str, reference: Any) -> Any:
    """Returns the program's value of a name; what it makes is trusted if the reference's does."""
    found = channel.ask("find", name)
    if is_remote(found) and isinstance(reference, type):
        state_of(found).maker = True
    return found


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(type(value), "_fields")


def _place_in_library(value: Any) -> list[str] | None:
    """Returns module and qualified name of a function of the standard library, None for others.

    The program gets its own: `eval` of this process would let it do here what it likes, and the
    texts given to `str.format` would let it read all that the tests know.
    """
    owner = getattr(value, "__objclass__", getattr(value, "__self__", None))
    # Methods of builtin types name no module.
    place = owner if isinstance(owner, type) else value
    module = getattr(place, "__module__", None)
    name = getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return None
    try:
        found = operator.attrgetter(name)(sys.modules.get(module))
    except AttributeError:
        return None
    # A class method is made anew each time.
    same = found is value or (type(found) is type(value) and found == value)
    return [module, name] if same else None


def _bounded(values: Any) -> Any:
    for count, value in enumerate(values):
        if count == MAX_ITEMS:
            raise ValueError(f"expected an iterator of at most {MAX_ITEMS} items, got a longer one")
        yield value


if __name__ == "__main__":
    main()
