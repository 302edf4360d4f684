"""Runs the tests of a problem against a program in another sandbox, and reports.

It reads the exam, a line of JSON, from standard input; exchanges requests and answers with the
candidate through two descriptors named on the command line; and writes its report, a line of JSON,
to standard output. The candidate sees the arguments of calls and nothing else: not the tests, not
what they expect, not the report. Tests run here, on values built here.
"""

import builtins
import json
import os
import sys
from typing import Any, BinaryIO

from hrm_jax.evaluation.judge.inside import wire

MAX_LINE_BYTES = 1 << 26


class CandidateGoneError(BaseException):
    """The candidate ended or broke the protocol.

    It derives from BaseException, so that no `except Exception` of a test catches it.
    """


class RemoteError(Exception):
    """The program raised an exception whose type is not a builtin."""


class Channel:
    """Sends requests to the candidate.

    Args:
      requests: where requests are written.
      answers: where answers are read.
    """

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self._requests = requests
        self._answers = answers

    def ask(self, do: str, *items: Any) -> Any:
        """Sends one request and returns its answer.

        Raises:
          CandidateGoneError: no answer, or one that means nothing.
          Exception: what the program raised, by name where it is a builtin.
        """
        encoded = [wire.encode(item, _number_of) for item in items]
        try:
            self._requests.write(json.dumps({"do": do, "items": encoded}).encode() + b"\n")
            self._requests.flush()
            # Bounded, so that an endless line cannot use up the examiner's memory.
            line = self._answers.readline(MAX_LINE_BYTES)
        except OSError as error:
            raise CandidateGoneError("the program ended during the tests") from error
        if not line.endswith(b"\n"):
            raise CandidateGoneError("the program ended during the tests")
        try:
            answer = json.loads(line)
            if "value" in answer:
                return wire.decode(answer["value"], lambda number: Remote(self, number))
            name = str(answer["error"])
            message = str(answer["message"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise CandidateGoneError("the program spoke to the examiner") from error
        raise _error(name, message)


class Remote:
    """A value of the candidate that has no plain form: it can be called and its attributes used.

    It equals nothing but itself. Whether it is true is asked of the candidate: one more answer
    that may be right or wrong.
    """

    def __init__(self, channel: Channel, number: int):
        # Past `__setattr__`, which would ask the candidate.
        object.__setattr__(self, "_channel", channel)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Calls it with plain values, or with other values of the candidate."""
        return self._channel.ask("call", self, list(arguments), options)

    def __getattr__(self, name: str) -> Any:
        return self._channel.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._channel.ask("set", self, name, value)

    def __str__(self) -> str:
        return str(self._channel.ask("text", self))

    def __bool__(self) -> bool:
        return self._channel.ask("truth", self)


def examine(exam: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Runs an exam and returns the report: `passed`, and `detail` otherwise.

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
        names.update({name: channel.ask("find", name) for name in exam["remote"]})
        exec(compile(exam["tests"], "tests.py", "exec"), names)
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


def _number_of(value: Any) -> int:
    if type(value) is not Remote:
        raise TypeError(f"expected plain values for the program, got a {type(value).__name__}")
    return object.__getattribute__(value, "_number")


def _error(name: str, message: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:  # it wants more than a message
            pass
    return RemoteError(f"{name}: {message}")


if __name__ == "__main__":
    main()
