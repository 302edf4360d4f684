"""Answers as they come, as server-sent events; and answers that a gone client stops."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from hrm_jax.serving import errors

_LOG = logging.getLogger(__name__)
_GONE = 499
"""Status for a client that has closed the connection, as nginx logs it; nobody reads it."""
_Result = TypeVar("_Result")


async def streamed(
    request: Request, events: AsyncIterator[Mapping[str, Any]], *, done: bool
) -> StreamingResponse:
    """Returns an answer of events.

    The first is awaited here, so that what is refused has a status of its own.

    Args:
      request: whose client may go before there is a first event.
      events: their data.
      done: whether `[DONE]` is the last one, as OpenAI's clients expect.

    Raises:
      HTTPException: the client has gone.
    """
    # A status cannot be changed once a response has begun.
    first = await unless_gone(request, anext(events, None))

    async def lines() -> AsyncIterator[str]:
        try:
            if first is not None:
                yield _line(first)
            async for event in events:
                yield _line(event)
            if done:
                yield "data: [DONE]\n\n"
        except Exception as error:
            _LOG.exception("a stream failed")
            yield _line(errors.body(errors.status_of(error), str(error)))
        finally:
            # A client that has gone closes `lines`; the rows of its texts are to be free.
            await events.aclose()  # type: ignore[attr-defined]

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def unless_gone(request: Request, answer: Awaitable[_Result]) -> _Result:
    """Returns an answer; if the client goes before it is there, it is given up.

    Raises:
      HTTPException: the client has gone.
    """
    writing = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([writing, watching], return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            raise HTTPException(_GONE, "the client has closed the connection")
        return writing.result()
    finally:
        writing.cancel()
        watching.cancel()


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection; its body is read already."""
    # Other messages may still come, such as the end of the body.
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _line(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
