"""Runs a program's function on inputs and tells what it did: `agreement` compares candidates by it.

It reads a line of JSON from standard input: `program`, `function`, and `inputs`, the source of each
call's arguments. It writes a line of JSON to standard output: a text for each input, equal where
the behaviour is. The program shares this process: what is told of it is no proof of anything.
"""

import ast
import contextlib
import io
import json
import os
import signal
import sys
from typing import Any

CALL_SECONDS = 1.0
_DIGITS = 9
_LONGEST = 2000


def main() -> None:
    """Answers the request on standard input."""
    request = json.loads(sys.stdin.readline())
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the program prints is no report
    signal.signal(signal.SIGALRM, _stop)
    print(json.dumps(behaviour(**request)), file=report, flush=True)
    os._exit(0)  # threads of the program may go on


def behaviour(program: str, function: str, inputs: list[str]) -> list[str]:
    """Returns what a function did on each input.

    Args:
      program: its source.
      function: its name.
      inputs: the arguments of each call, literals as in a call's brackets.
    """
    names: dict[str, Any] = {"__name__": "program"}
    try:
        with _limit():
            exec(compile(program, "program.py", "exec"), names)
        found = names[function]
    # A program may end or take too long while it is loaded.
    except BaseException as error:
        return [f"no function: {type(error).__name__}"] * len(inputs)
    return [_outcome(found, arguments) for arguments in inputs]


def _outcome(function: Any, source: str) -> str:
    call = ast.parse(f"f({source})", mode="eval").body
    assert isinstance(call, ast.Call)
    values = [ast.literal_eval(value) for value in call.args]
    options = {one.arg or "": ast.literal_eval(one.value) for one in call.keywords}
    printed = io.StringIO()
    try:
        with _limit(), contextlib.redirect_stdout(printed):
            result = function(*values, **options)
            kind = type(result).__name__
            # An iterator is told by its items.
            if hasattr(result, "__next__"):
                kind = "iterator"
                result = list(result)
            told = f"{kind} {_told(result)}"
    except BaseException as error:
        told = f"raises {type(error).__name__}"
    # A function may change its arguments or print instead of giving an answer.
    after = _told([values, sorted(options.items())])
    return f"{told} | {after} | {printed.getvalue()}"[:_LONGEST]


def _told(value: Any) -> str:
    """Returns a text of a value: without the order of sets and keys, floats rounded."""
    if isinstance(value, float):
        return repr(round(value, _DIGITS))
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_told, value))})"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}({', '.join(sorted(map(_told, value)))})"
    if isinstance(value, dict):
        items = sorted(f"{_told(key)}: {_told(one)}" for key, one in value.items())
        return f"{{{', '.join(items)}}}"
    text = repr(value)
    # Addresses differ from run to run.
    return type(value).__name__ if " at 0x" in text else text


@contextlib.contextmanager
def _limit() -> Any:
    """Raises TimeoutError in what takes longer than a call may."""
    signal.setitimer(signal.ITIMER_REAL, CALL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(*_: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
