"""Exceptions between an examiner and a candidate: their classes, arguments and attributes."""

import builtins
import contextlib
from typing import Any

from hrm_jax.evaluation.judge.inside import wire
from hrm_jax.evaluation.judge.inside.states import Asker


class RemoteError(Exception):
    """An exception whose class or arguments have no form here."""


class ErrorClass(type):
    """The class of what stands for exception classes of the program, so that tests can catch them.

    Each has `_remote_class`: the channel, and the number of the class at the candidate.
    """

    _remote_class: tuple[Asker, int]

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        """Makes an exception as the program does."""
        return cls._remote_class[0].ask("call", cls, list(arguments), options)

    def __getattr__(cls, name: str) -> Any:
        return cls._remote_class[0].ask("get", cls, name)


def make_error_class(channel: Asker, number: int, name: str, bases: list[Any]) -> ErrorClass:
    """Returns what stands for an exception class of the program.

    Args:
      channel: to the candidate.
      number: of the class there.
      name: its name.
      bases: its bases; those that are no exceptions are left out.

    Raises:
      TypeError: none of the bases is an exception, or they do not go together.
    """
    kept = tuple(base for base in bases if isinstance(base, type))
    kept = tuple(base for base in kept if issubclass(base, BaseException))
    if not kept:
        raise TypeError(f"expected the class of an exception, got {name} of {bases}")
    methods = {
        "__getattr__": lambda self, attribute: channel.ask("get", self, attribute),
        "__str__": lambda self: channel.ask("apply", "str", self),
        "_remote_class": (channel, number),
    }
    return ErrorClass(str(name), kept, methods)


def make_error(kind: Any, arguments: list[Any], number: int | None) -> BaseException:
    """Returns an exception of the other side.

    Args:
      kind: its class, as it is here.
      arguments: its `args`.
      number: by which the other side knows it, None if it does not.

    Raises:
      TypeError: `kind` is no class of exceptions, or wants other arguments.
    """
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        raise TypeError(f"expected the class of an exception, got {kind!r}")
    # Past the call of `ErrorClass`, which would make another one there.
    error = type.__call__(kind, *arguments)
    error._remote_error = number
    return error


def number_of_error(error: BaseException) -> int | None:
    """Returns the number by which the other side knows an exception; None if it does not."""
    # Not by `getattr`, for which a stand-in would ask the candidate.
    return vars(error).get("_remote_error")


def error_answer(error: BaseException, side: wire.Side) -> dict[str, Any]:
    """Returns an answer that says that an exception was raised."""
    answer: dict[str, Any] = {"error": type(error).__name__, "message": _message(error)}
    # Where its class or arguments have no form, the name has to do.
    with contextlib.suppress(Exception):
        answer["exception"] = wire.encode(error, side)
    return answer


def answered_error(answer: dict[str, Any], side: wire.Side) -> BaseException:
    """Returns the exception of an answer that `error_answer` made.

    Raises:
      Exception: of any builtin kind, where it did not.
    """
    if "exception" in answer:
        error = wire.decode(answer["exception"], side)
        if not isinstance(error, BaseException):
            raise TypeError(f"expected an exception, got {error!r}")
        return error
    name = str(answer["error"])
    message = str(answer["message"])
    # Tests catch builtin exceptions by class, so the name is turned back into one.
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:  # it wants more than a message
            pass
    return RemoteError(f"{name}: {message}")


def _message(error: BaseException) -> str:
    try:
        return str(error)[:500]
    # The program's own `__str__` may do anything, also end the process by SystemExit.
    except BaseException:
        return ""
