"""Turns errors into answers in OpenAI's form, with a status that clients act on."""

import itertools
import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from hrm_jax.core.errors import UserError
from hrm_jax.serving.refusals import EngineError, QueueFull

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = "1"
_NAME = re.compile(r"\w+")
"""A field, or a place in a list; names of types, such as `constrained-str`, have other signs."""
_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "unavailable_error",
}


def body(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """Returns the body of an error."""
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def reply(status: int, message: str, param: str | None = None) -> JSONResponse:
    """Returns the answer that tells of an error."""
    headers = {"Retry-After": _RETRY_SECONDS} if status in (429, 503) else None
    return JSONResponse(body(status, message, param), status, headers)


def status_of(error: Exception) -> int:
    """Returns the status that stands for an error of writing."""
    # Before what it derives from: clients retry on 429, and not on 400.
    if isinstance(error, QueueFull):
        return 429
    if isinstance(error, UserError):
        return 400
    return 503 if isinstance(error, EngineError) else 500


def install(app: FastAPI) -> None:
    """Lets an app answer errors in this form."""

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            # Its place is a number of characters.
            why = first["ctx"]["error"]
            return reply(400, f"body: expected JSON, got an error at {first['loc'][-1]}: {why}")
        # Without the first part, which says that it is the body, and without names of types.
        place = ".".join(itertools.takewhile(_NAME.fullmatch, map(str, first["loc"][1:])))
        return reply(400, f"{place or 'body'}: {first['msg']}", place or None)

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        answer = reply(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    async def failed(_: Request, error: Exception) -> JSONResponse:
        status = status_of(error)
        # What nobody has foreseen is logged whole; the others tell the client what to do.
        if status == 500:
            _LOG.error("a request failed", exc_info=error)
        return reply(status, str(error))

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    for kind in (UserError, EngineError, Exception):
        app.add_exception_handler(kind, failed)
