"""Reads what the server answers, or that it does not."""

import http
import json
from typing import Any, NamedTuple

from hrm_jax.core.errors import UserError

LOADING_STATUS = 503
BUSY_STATUS = 429
_FIELD = "data:"
_LAST = "[DONE]"
_NOT_UNDERSTOOD = (
    *(ValueError, RecursionError),  # no JSON, or brackets too deep for its parser
    *(KeyError, TypeError, IndexError, AttributeError),
)


class ServerAway(UserError):
    """The server does not answer at all."""


class ServerRefused(UserError):
    """The server answers, but not with what it was asked for; the message is its own.

    Attributes:
      status: of HTTP.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Verdict(NamedTuple):
    """What is known of code that was to be verified.

    Attributes:
      text: the code.
      verified: whether it passed.
      failed: what did not; empty where all passed.
      attempts: candidates that were tried.
      seconds: that they took.
    """

    text: str
    verified: bool
    failed: str
    attempts: int
    seconds: float


def event(line: str) -> dict[str, Any] | None:
    """Returns the object of a server-sent event's line, or None for any other line.

    Raises:
      ServerRefused: it is no JSON, or says that there was an error.
    """
    data = line.removeprefix(_FIELD).strip()
    if not line.startswith(_FIELD) or data == _LAST:
        return None
    try:
        found = json.loads(data)
    # Told below, with what is no object.
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("content", ""), str):
        raise ServerRefused(http.HTTPStatus.OK, f"its answer is not understood: {data:.80}")
    if "error" in found:
        raise ServerRefused(http.HTTPStatus.OK, message(data))
    return found


def verdict(text: str) -> Verdict:
    """Returns what an answer says; raises ServerRefused where it is not understood."""
    try:
        found = json.loads(text)
        choice = found["choices"][0]
        return Verdict(
            str(choice["text"] if "text" in choice else choice["message"]["content"]),
            # Anything but the server's plain word is no verdict.
            found.get("verified") is True,
            str(found.get("failed") or ""),
            int(found.get("attempts", 0)),
            float(found.get("seconds", 0)),
        )
    except _NOT_UNDERSTOOD as error:
        told = f"its answer is not understood: {text:.80}"
        raise ServerRefused(http.HTTPStatus.OK, told) from error


def message(text: str) -> str:
    """Returns what a refusal says, in OpenAI's form or another."""
    try:
        found = json.loads(text)["error"]["message"]
    except _NOT_UNDERSTOOD:
        # A proxy may answer with a page; its beginning has to do.
        return text[:300]
    return str(found)
