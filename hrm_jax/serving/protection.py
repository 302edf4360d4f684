"""What stands before every request: its host, its key, its size and its kind."""

import dataclasses
import hashlib
import hmac
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
    """

    hosts: tuple[str, ...] = LOCAL_HOSTS
    key_digests: tuple[bytes, ...] = ()
    most_bytes: int = 8 << 20


def digests(keys: Sequence[str]) -> tuple[bytes, ...]:
    """Returns what is kept of keys."""
    return tuple(_digest(key) for key in keys)


class _TooLarge(HTTPException):
    """A body is larger than it may be.

    An `HTTPException`, as FastAPI takes any other error while it reads a body for a body that is
    not JSON.
    """

    def __init__(self, most_bytes: int):
        super().__init__(413, f"expected a body of at most {most_bytes} bytes, got more")


@dataclasses.dataclass(frozen=True)
class Guarded:
    """An app behind its protection.

    A web page that a person has open can make their browser call any address, this server's too.
    The name in `Host` cannot be forged there, and neither can a body be sent as JSON without the
    server's consent: so both are checked.

    Attributes:
      app: the app.
      settings: who may ask.
    """

    app: ASGIApp
    settings: Protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await errors.reply(*refused)(scope, receive, send)
            return
        await self._limited(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """Returns the status and the message of what is not allowed, or None."""
        headers = Headers(scope=scope)
        settings = self.settings
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
        return None

    def _has_key(self, headers: Headers) -> bool:
        kind, _, key = headers.get("authorization", "").partition(" ")
        # Clients of other makers send the key in a header of its own.
        given = key.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(given)
        # All are compared, each in constant time: how long it takes tells nothing of a key.
        found = False
        for one in self.settings.key_digests:
            found |= hmac.compare_digest(digest, one)
        return found

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request whose body may turn out to be too large."""
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.settings.most_bytes:
                raise _TooLarge(self.settings.most_bytes)
            return message

        await self.app(scope, counted, send)


def _host(headers: Headers) -> str:
    """Returns the name in `Host`, without the port."""
    host = headers.get("host", "").lower()
    # An IPv6 address stands in brackets, since it has colons itself.
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
