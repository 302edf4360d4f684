"""Speaks to the server over HTTP: llama.cpp's `/infill`, as a stream.

httpx is imported when it is first needed: the language server starts without waiting for it.
"""

import functools
import http
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from hrm_jax.core.config import check
from hrm_jax.editing.answers import ServerAway, ServerRefused, Verdict, event, message, verdict
from hrm_jax.editing.windows import Chunk

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS = 3.0
_SILENT_SECONDS = 60.0


class Hole(NamedTuple):
    """A hole in a document, as the server fills it.

    Attributes:
      prefix: what stands before it.
      suffix: what stands behind it.
      context: parts of files.
      filename: the document's path within its project; empty where it is not told.
      project: the project's name; empty likewise.
    """

    prefix: str
    suffix: str
    context: Sequence[Chunk] = ()
    filename: str = ""
    project: str = ""


class Filling(NamedTuple):
    """How a hole is filled.

    Attributes:
      max_tokens: at most.
      max_milliseconds: time after the first token, after which a text ends with its line; 0: any.
      one_line: whether a text ends with its first line.
    """

    max_tokens: int
    max_milliseconds: int
    one_line: bool = False


class Server:
    """A server that answers `/infill` as llama.cpp's does."""

    def __init__(self, url: str, key: str | None = None):
        """Connects when it is first asked.

        Args:
          url: its root, without `/v1`.
          key: sent with each request; None for none.

        Raises:
          ConfigError: the URL is none.
        """
        check(
            _is_url(url),
            "--server",
            expected="a URL of HTTP",
            got=url,
            remedy="give one such as http://127.0.0.1:8080",
        )
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    @functools.cached_property
    def client(self) -> "httpx.AsyncClient":
        """What holds the connections."""
        import httpx

        return httpx.AsyncClient(
            headers=self._headers,
            timeout=httpx.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS),
            # Code goes to this server and to no other: not to a proxy that a variable names.
            trust_env=False,
        )

    def prepare(self) -> None:
        """Does now what the first request would wait for."""
        _ = self.client

    async def fill(self, hole: Hole, filling: Filling) -> AsyncGenerator[str, None]:
        """Yields the parts of what fills a hole.

        Closing the generator, or cancelling the task that reads it, closes the connection, by which
        the server knows that it need not write any more.

        Raises:
          ServerAway: it does not answer, or the connection ends.
          ServerRefused: it refuses, or its answer is not understood.
        """
        import httpx

        body = {
            "input_prefix": _whole(hole.prefix),
            "input_suffix": _whole(hole.suffix),
            "input_extra": [
                {"filename": _whole(chunk.filename), "text": _whole(chunk.text)}
                for chunk in hole.context
            ],
            "filename": _whole(hole.filename),
            "project": _whole(hole.project),
            "n_predict": filling.max_tokens,
            "t_max_predict_ms": filling.max_milliseconds,
            "stop": ["\n"] if filling.one_line else [],
            "temperature": 0,
            "seed": 0,
            "stream": True,
        }
        try:
            async with self.client.stream("POST", f"{self.url}/infill", json=body) as response:
                if response.status_code != http.HTTPStatus.OK:
                    text = (await response.aread()).decode("utf-8", "replace")
                    raise ServerRefused(response.status_code, message(text))
                async for line in response.aiter_lines():
                    part = event(line)
                    if part is None:
                        continue
                    yield part.get("content", "")
                    # The server ends its answer with this part; waiting for the connection's end
                    # would cost time.
                    if part.get("stop"):
                        return
        except httpx.RequestError as error:
            raise ServerAway(f"{self.url}: {error or type(error).__name__}") from error

    async def verify(
        self, prompt: str, tests: str | None, *, attempts: int, seconds: float, max_tokens: int
    ) -> Verdict:
        """Returns code that passes tests, or what came nearest.

        Args:
          prompt: what a function begins with; with tests, an instruction.
          tests: what has to pass; None for the examples in the prompt's docstring.
          attempts: candidates at most.
          seconds: for all of them.
          max_tokens: of each.

        Raises:
          ServerAway, ServerRefused: as `fill`.
        """
        import httpx

        limits = {"attempts": attempts, "seconds": seconds}
        if tests is None:
            path = "/v1/completions"
            asked = {"prompt": _whole(prompt), "verify": {"doctests": True, **limits}}
        else:
            path = "/v1/chat/completions"
            turns = [{"role": "user", "content": _whole(prompt)}]
            asked = {"messages": turns, "verify": {"tests": _whole(tests), **limits}}
        body = {**asked, "max_tokens": max_tokens}
        # Nothing comes until the search is over, which may take all of its seconds.
        timeout = httpx.Timeout(seconds + _SILENT_SECONDS, connect=_CONNECT_SECONDS)
        try:
            response = await self.client.post(f"{self.url}{path}", json=body, timeout=timeout)
        except httpx.RequestError as error:
            raise ServerAway(f"{self.url}: {error or type(error).__name__}") from error
        if response.status_code != http.HTTPStatus.OK:
            raise ServerRefused(response.status_code, message(response.text))
        return verdict(response.text)

    async def close(self) -> None:
        """Closes the connections."""
        await self.client.aclose()


def _whole(text: str) -> str:
    """Returns a text without halves of pairs, which an editor may have cut, and UTF-8 has not."""
    return text.encode("utf-8", "replace").decode()


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # no address, or no port
        return False
