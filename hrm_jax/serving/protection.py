"""Refuses requests by host, key, kind and size, before the app reads them."""

import asyncio
import dataclasses
import hashlib
import hmac
import math
from collections.abc import Sequence

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hrm_jax.serving import errors

_OPEN = ("/health", "/v1/health")
"""Paths that need no key: probes have none."""
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass(frozen=True)
class Protection:
    """Who may ask, and how much.

    Attributes:
      hosts: names by which clients may call this server, without the port; "*" for any.
      key_digests: SHA-256 digests of the keys, one of which a client has to send; none: no key.
      most_bytes: of a request's body.
      most_body_seconds: for a request's body to come.
      most_at_once: requests that are answered at a time; probes of `/health` always are.
    """

    hosts: tuple[str, ...] = LOCAL_HOSTS
    key_digests: tuple[bytes, ...] = ()
    most_bytes: int = 8 << 20
    most_body_seconds: float = 60.0
    most_at_once: float = math.inf


def digests(keys: Sequence[str]) -> tuple[bytes, ...]:
    """Returns what is kept of keys."""
    return tuple(_digest(key) for key in keys)


class Guarded:
    """An app behind its protection.

    A web page that a person has open can make their browser call any address, this server's too.
    The name in `Host` cannot be forged there, and neither can a body be sent as JSON without the
    server's consent: so both are checked.
    """

    def __init__(self, app: ASGIApp, settings: Protection):
        """Stores the app, and who may ask."""
        self._app = app
        self._settings = settings
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await errors.reply(*refused)(scope, receive, send)
            return
        self._at_once += 1
        try:
            await self._app(scope, self._limited(receive), send)
        finally:
            self._at_once -= 1

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """Returns the status and the message of what is not allowed, or None."""
        headers = Headers(scope=scope)
        settings = self._settings
        if "*" not in settings.hosts and _host(headers) not in settings.hosts:
            return 403, (
                f"Host: expected {' or '.join(settings.hosts)}, got {_host(headers)!r}; name it by "
                "--allow_host if it is this server's"
            )
        if settings.key_digests and scope["path"] not in _OPEN and not self._has_key(headers):
            return 401, "Authorization: expected 'Bearer KEY' with a key of this server"
        if scope["method"] == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return 415, f"Content-Type: expected application/json, got {kind!r}"
            # Refused before anything is read; a body without a length is counted as it comes.
            length = headers.get("content-length", "")
            if length.isdecimal() and int(length) > settings.most_bytes:
                return 413, f"expected a body of at most {settings.most_bytes} bytes, got {length}"
        if self._at_once >= settings.most_at_once and scope["path"] not in _OPEN:
            return 429, (
                f"expected at most {settings.most_at_once} requests at once, got more; try again "
                "later"
            )
        return None

    def _has_key(self, headers: Headers) -> bool:
        kind, _, key = headers.get("authorization", "").partition(" ")
        # Clients of other makers send the key in a header of its own.
        given = key.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(given)
        # All are compared, each in constant time: how long it takes tells nothing of a key.
        found = False
        for one in self._settings.key_digests:
            found |= hmac.compare_digest(digest, one)
        return found

    def _limited(self, receive: Receive) -> Receive:
        """Returns what reads a request whose body may turn out to be too large, or to stay away."""
        settings = self._settings
        deadline = asyncio.get_running_loop().time() + settings.most_body_seconds
        came = 0
        is_whole = False

        async def limited() -> Message:
            nonlocal came, is_whole
            try:
                # Once the body is there, the next message is that the client has gone.
                async with asyncio.timeout_at(None if is_whole else deadline):
                    message = await receive()
            # An `HTTPException`, here and below, as FastAPI takes any other error while it reads a
            # body for a body that is not JSON.
            except TimeoutError as error:
                seconds = settings.most_body_seconds
                raise HTTPException(408, f"expected a body within {seconds:g} seconds") from error
            came += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if came > settings.most_bytes:
                raise HTTPException(
                    413, f"expected a body of at most {settings.most_bytes} bytes, got more"
                )
            return message

        return limited


def _host(headers: Headers) -> str:
    """Returns the name in `Host`, without the port."""
    host = headers.get("host", "").lower()
    # An IPv6 address stands in brackets, since it has colons itself.
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
