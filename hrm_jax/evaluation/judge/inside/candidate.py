"""Runs a program that a model wrote and does what the examiner asks of it, a line at a time.

Nothing here is trusted: the program shares this process and may do to it what it likes. All it can
gain is to send other answers, or none.
"""

import builtins
import json
import os
import sys
import types
from typing import Any

from hrm_jax.evaluation.judge.inside import wire


class _Candidate:
    """The program, and the values that the examiner knows by number."""

    def __init__(self):
        self._module = types.ModuleType("candidate")
        sys.modules["candidate"] = self._module
        self._values: list[Any] = []

    def answer(self, request: dict[str, Any]) -> Any:
        """Does what is asked; any exception is the program's."""
        do = getattr(self, "_" + request["do"])
        items = [wire.decode(item, self._values.__getitem__) for item in request["items"]]
        return wire.encode(do(*items), self._name)

    def _name(self, value: Any) -> int:
        self._values.append(value)
        return len(self._values) - 1

    def _load(self, program: str) -> None:
        exec(compile(program, "candidate.py", "exec"), self._module.__dict__)

    def _find(self, name: str) -> Any:
        if name not in self._module.__dict__:
            raise NameError(f"name {name!r} is not defined")
        return self._module.__dict__[name]

    def _call(self, function: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        return function(*arguments, **options)

    def _get(self, value: Any, name: str) -> Any:
        return getattr(value, name)

    def _set(self, value: Any, name: str, new: Any) -> None:
        setattr(value, name, new)

    def _truth(self, value: Any) -> bool:
        return bool(value)

    def _text(self, value: Any) -> str:
        return builtins.str(value)


def main() -> None:
    """Answers requests; the command line names the descriptors of requests and answers."""
    sys.set_int_max_str_digits(0)
    requests, answers = (int(argument) for argument in sys.argv[1:])
    requests = os.fdopen(requests, "rb")
    answers = os.fdopen(answers, "wb")
    candidate = _Candidate()
    for line in requests:
        try:
            answer = {"value": candidate.answer(json.loads(line))}
        except BaseException as error:
            answer = {"error": type(error).__name__, "message": _message(error)}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _message(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:
        return ""


if __name__ == "__main__":
    main()
