"""Starts servers of language models, and asks them as clients do: what the suites share."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import httpx

from hrm_jax.core.errors import UserError

SETTLE_SECONDS = 60.0
"""For which a server may take to end, or to let go of its rows."""


class LoadError(UserError, RuntimeError):
    """A server did not start, or did not come to rest."""


def serve_command(model: str, *, rows: int, most_waiting: int) -> list[str]:
    """Returns the command that starts a server of ours at a free port."""
    command = [sys.executable, "-m", "experiments.serve", f"--model={model}", "--port=0"]
    return [*command, f"--rows={rows}", f"--most_waiting={most_waiting}"]


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Starts a server of ours; yields its process and its URL when it is ready, then ends it.

    Raises:
      LoadError: it did not start, or ended with a status other than 0.
    """
    process = subprocess.Popen([*command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        # The only line, written when the server answers; it ends without one where it cannot start.
        line = process.stdout.readline()
        if not line:
            raise LoadError(f"the server did not start: {' '.join(command)} ended")
        yield process, json.loads(line)["url"]
        # A server that is asked to end does so by itself: any other status is an error here.
        process.terminate()
        if process.wait(SETTLE_SECONDS) != 0:
            raise LoadError(f"the server ended with status {process.returncode}")
    finally:
        process.kill()
        process.communicate()


async def stream(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> AsyncGenerator[tuple[str, int], None]:
    """Yields the parts of a text as they come, and with the last one how many tokens it has.

    Raises:
      httpx.HTTPError: the request failed, or the server told of an error within the stream.
    """
    asked = body | {"stream": True, "stream_options": {"include_usage": True}}
    async with client.stream("POST", "/v1/completions", json=asked) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            name, _, data = line.partition(": ")
            if name != "data" or data == "[DONE]":
                continue  # between events, or a comment by which a connection is kept
            event = json.loads(data)
            if "error" in event:
                raise httpx.RemoteProtocolError(event["error"]["message"])
            # The last event has the number of tokens and no text.
            choices = event["choices"]
            usage = event.get("usage") or {"completion_tokens": 0}
            yield (choices[0]["text"] if choices else "", usage["completion_tokens"])
