"""Decides what a person is told about the server: each trouble once, until it is over."""

from collections.abc import Callable
from urllib.parse import urlsplit

from hrm_jax.editing.answers import BUSY_STATUS, LOADING_STATUS, ServerAway, ServerRefused

_START = "python -m experiments.serve --model=qwen2.5-coder-0.5b"
_DEFAULT_PORT = 8080
_UNAUTHORISED_STATUS = 401
_PASSING = (BUSY_STATUS, LOADING_STATUS)
"""States that end by themselves, of which an editor's log alone is told."""


class Telling:
    """What was told of one server."""

    def __init__(self, url: str, show: Callable[[str], None], log: Callable[[str], None]):
        """Begins with nothing told.

        Args:
          url: the server's.
          show: shows a message to the person.
          log: writes a line into the editor's log.
        """
        self._url = url
        self._show = show
        self._log = log
        self._told: set[str] = set()

    def answered(self) -> None:
        """Notes that the server answers, so that the next trouble is told again."""
        self._told.clear()

    def failed(self, error: ServerAway | ServerRefused) -> None:
        """Tells of a trouble that was not told since the server answered last."""
        message = trouble(self._url, error)
        if message in self._told:
            return
        self._told.add(message)
        passes = isinstance(error, ServerRefused) and error.status in _PASSING
        (self._log if passes else self._show)(message)


def trouble(url: str, error: ServerAway | ServerRefused) -> str:
    """Returns what is wrong with the server at a URL, and what to do about it."""
    if isinstance(error, ServerAway):
        return f"No server answers at {url}. Start one: {start_command(url)}"
    if error.status == LOADING_STATUS:
        return f"The server at {url} loads its model; suggestions come when it is ready."
    remedy = ""
    if error.status == _UNAUTHORISED_STATUS:
        remedy = "; start the language server with --api_key_file=FILE, which holds one of its keys"
    return f"The server at {url} refuses: {error}{remedy}"


def start_command(url: str) -> str:
    """Returns the command that starts a server at a URL."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return _START if port == _DEFAULT_PORT else f"{_START} --port={port}"
