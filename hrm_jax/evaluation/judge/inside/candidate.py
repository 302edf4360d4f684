"""Runs a program that a model wrote and answers the examiner's requests, one a line.

Nothing here is trusted: the program shares this process and may change anything in it. All that it
can gain is to send other answers, or none.
"""

import builtins
import json
import os
import sys
import types
from typing import Any

from hrm_jax.evaluation.judge.inside import wire


class _Candidate:
    """The program, and its values that the examiner refers to by number."""

    def __init__(self):
        self._module = types.ModuleType("candidate")
        # Code of the program finds its module here, as `dataclasses` needs.
        sys.modules["candidate"] = self._module
        self._values: list[Any] = []

    def answer(self, request: dict[str, Any]) -> Any:
        """Returns the encoded answer to a request; exceptions are the program's."""
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
    # Python refuses to convert integers of more than 4,300 digits to text, which some problems
    # need.
    sys.set_int_max_str_digits(0)
    requests, answers = (int(argument) for argument in sys.argv[1:])
    requests = os.fdopen(requests, "rb")
    answers = os.fdopen(answers, "wb")
    candidate = _Candidate()
    for line in requests:
        try:
            answer = {"value": candidate.answer(json.loads(line))}
        # SystemExit and KeyboardInterrupt count as errors of the program too.
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
