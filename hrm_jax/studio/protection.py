"""Who may use the page: those with its cookie, from the page itself.

The name in `Host` is checked before (`hrm_jax.serving.protection`), so a page of another site
cannot call this one by a name of its own. The cookie is `SameSite=Strict`, so no other site's
requests carry it; what changes something has to say that it comes from this origin as well.
"""

import dataclasses
import hashlib
import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hrm_jax.serving import errors

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OPEN_CALL = "/api/login"


@dataclasses.dataclass(frozen=True)
class Pass:
    """What a browser has to have.

    Attributes:
      cookie: name of the cookie; cookies are shared by all ports of a machine, so it names its own.
      value: of the cookie; made anew at every start.
      tokens: digests of what a person may type to get it; none: the page brings it along.
    """

    cookie: str
    value: str
    tokens: tuple[bytes, ...] = ()

    def header(self) -> str:
        """Returns the `Set-Cookie` that gives it."""
        return f"{self.cookie}={self.value}; Path=/; HttpOnly; SameSite=Strict"

    def accepts(self, token: str) -> bool:
        """Returns whether a typed token is one of those that may."""
        digest = hashlib.sha256(token.encode()).digest()
        found = False  # all are compared, each in constant time
        for one in self.tokens:
            found |= hmac.compare_digest(digest, one)
        return found


@dataclasses.dataclass(frozen=True)
class Gate:
    """An app of which `/api/` answers only its own page."""

    app: ASGIApp
    needed: Pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refused = self._refused(scope)
        app = errors.reply(*refused) if refused else self.app
        await app(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        path = scope["path"]
        if scope["method"] not in ("GET", "HEAD") and not _is_same_origin(headers):
            return 403, "Origin: expected that of this page; open it and try again"
        if not path.startswith("/api/") or path == _OPEN_CALL:
            return None
        given = cookie_parser(headers.get("cookie", "")).get(self.needed.cookie, "")
        if not hmac.compare_digest(given.encode(), self.needed.value.encode()):
            return 401, "expected the cookie of this page; open it anew"
        return None


def _is_same_origin(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    return headers.get("origin", "").partition("://")[2] == headers.get("host", "?")
