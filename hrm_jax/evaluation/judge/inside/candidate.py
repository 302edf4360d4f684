"""Runs a program that a model wrote and answers the examiner's requests, one a line.

Nothing here is trusted: the program shares this process and may change anything in it. All that it
can gain is to send other answers, or none.
"""

import builtins
import collections
import copy
import importlib
import itertools
import math
import operator
import os
import sys
import types
from typing import Any, BinaryIO

from hrm_jax.evaluation.judge.inside import wire
from hrm_jax.evaluation.judge.inside.errors import answered_error, error_answer, make_error
from hrm_jax.evaluation.judge.inside.forms import plain_part


class Candidate:
    """The program, and its values that the examiner refers to by number.

    Args:
      requests: where requests are read.
      answers: where answers are written.
    """

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self._requests = requests
        self._answers = answers
        self._module = types.ModuleType("candidate")
        # Code of the program finds its module here, as `dataclasses` needs.
        sys.modules["candidate"] = self._module
        self._values = wire.Numbers()
        self._functions: dict[int, _TestFunction] = {}
        self._named_tuples: dict[tuple[str, tuple[str, ...]], Any] = {}

    def serve(self) -> Any:
        """Answers requests until a line comes that is none, and returns that line."""
        while True:
            request = wire.read_line(self._requests)
            if request is None or "do" not in request:
                return request
            try:
                answer = {"value": self._answer(request)}
            # SystemExit and KeyboardInterrupt count as errors of the program too.
            except BaseException as error:
                answer = error_answer(error, self)
            wire.write_line(self._answers, answer)

    def encode_other(self, value: Any) -> Any:
        """Returns the data of a value that stays here; see `wire.Side`."""
        kind = type(value)
        if kind is _TestFunction:
            return {"kind": "test", "items": [value.number]}
        # Kept from now on, as the examiner may ask for it by this number at any time.
        number = self._values.number_of(value)
        if issubclass(kind, BaseException):
            return wire.encode_exception(value, number, self)
        if issubclass(kind, type) and issubclass(value, BaseException):
            bases = [wire.encode(base, self) for base in value.__bases__]
            return {"kind": "error", "items": [number, value.__name__, bases]}
        return wire.encode_object(value, number, self)

    def decode_other(self, kind: str, items: list[Any]) -> Any:
        """Returns the value of a kind that is not plain; see `wire.Side`."""
        if kind == "iterator":
            return iter(items)
        if kind == "library":
            module, name = items
            return operator.attrgetter(name)(importlib.import_module(module))
        if kind == "named tuple":
            name, fields, values = items
            return self._named_tuple(name, fields)(*values)
        number = items[0]
        if kind == "test":
            return self._functions.setdefault(number, _TestFunction(self, *items))
        if number is None:
            return make_error(items[1], items[2], None)
        return self._values.value_of(number)

    def call_test(self, number: int, arguments: list[Any], options: dict[str, Any]) -> Any:
        """Calls a function of the tests; returns its answer or raises its exception."""
        items = [wire.encode(item, self) for item in (arguments, options)]
        wire.write_line(self._answers, {"call": number, "items": items})
        # Before it answers, the examiner may ask on, so calls nest.
        answer = self.serve()
        if answer is None:
            os._exit(0)  # the examiner is gone
        if "value" in answer:
            return wire.decode(answer["value"], self)
        raise answered_error(answer, self)

    def _named_tuple(self, name: str, fields: tuple[str, ...]) -> Any:
        """Returns what stands for a class of the tests: the same for all of its values."""
        if (name, fields) not in self._named_tuples:
            # "_1" is no name of a field, but what it becomes when renamed.
            made = collections.namedtuple(name, fields, rename=True)
            self._named_tuples[name, fields] = made
        return self._named_tuples[name, fields]

    def _answer(self, request: dict[str, Any]) -> Any:
        """Returns the encoded answer to a request; exceptions are the program's."""
        do = getattr(self, "_" + request["do"])
        items = [wire.decode(item, self) for item in request["items"]]
        return wire.encode(do(*items), self)

    def _load(self, program: str) -> None:
        exec(compile(program, "candidate.py", "exec"), self._module.__dict__)

    def _find(self, name: str) -> Any:
        if name not in self._module.__dict__:
            raise NameError(f"name {name!r} is not defined")
        return self._module.__dict__[name]

    def _call(self, function: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        return function(*arguments, **options)

    def _apply(self, function: str, *operands: Any) -> Any:
        """Returns the result of an operator, or of a function of Python's by its name."""
        place = next(place for place in (operator, builtins, math) if hasattr(place, function))
        return getattr(place, function)(*operands)

    def _take(self, iterator: Any, count: int) -> list[Any]:
        return list(itertools.islice(iterator, count))

    def _plain(self, value: Any) -> Any:
        return plain_part(value)

    def _copy(self, value: Any, deeply: bool) -> Any:
        return copy.deepcopy(value) if deeply else copy.copy(value)

    def _get(self, value: Any, name: str) -> Any:
        return getattr(value, name)

    def _set(self, value: Any, name: str, new: Any) -> None:
        setattr(value, name, new)

    def _delete(self, value: Any, name: str) -> None:
        delattr(value, name)


class _TestFunction:
    """A function of the tests that the program was given."""

    def __init__(self, candidate: Candidate, number: int, name: str):
        self._candidate = candidate
        self.number = number
        self.__name__ = name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._candidate.call_test(self.number, list(arguments), options)


def main() -> None:
    """Answers requests; the command line names the descriptors of requests and answers."""
    # Python refuses to convert integers of more than 4,300 digits to text, which some problems
    # need.
    sys.set_int_max_str_digits(0)
    requests, answers = (int(argument) for argument in sys.argv[1:])
    Candidate(os.fdopen(requests, "rb"), os.fdopen(answers, "wb")).serve()


if __name__ == "__main__":
    main()
