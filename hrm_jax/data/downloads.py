"""Downloads of files: a bounded wait, progress in the log, and whole files only."""

import concurrent.futures
import http.client
import logging
import math
import pathlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import appearing_whole

CONNECT_SECONDS = 20.0
"""How long all tries to connect take together, at most, and how long a server may be silent."""

# Before the second try and the third; there is no fourth.
_PAUSES_SECONDS = (1.0, 2.0)
_PROGRESS_SECONDS = 10.0
_BLOCK_BYTES = 2**20

_log = logging.getLogger(__name__)


class DownloadError(UserError, OSError):
    """A file cannot be downloaded; the message names its address and the reason."""


def download(address: str, path: pathlib.Path, *, connect_seconds: float = CONNECT_SECONDS) -> None:
    """Downloads a file, and logs how far it is every ten seconds.

    It is tried three times to connect, within `connect_seconds` in all, which include looking up
    the host. A server that is silent for as long afterwards ends the download, too. The file
    appears when it is whole.

    Args:
      address: of http, https or file.
      path: where to write it; its folder is made if absent.
      connect_seconds: limit of the wait.

    Raises:
      DownloadError: no connection, an answer that says no, or one that breaks off.
    """
    _log.info("downloading %s; waiting up to %.0f s for a connection", address, connect_seconds)
    answer = connect(address, connect_seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    with answer, appearing_whole(path) as file:
        done = 0
        told = time.monotonic()
        total = _stated_bytes(answer)
        for block in _blocks(answer, address):
            file.write(block)
            done += len(block)
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                told = time.monotonic()
                _log.info("%s: %.0f of %.0f MB", path.name, done / 1e6, total / 1e6)
        # `http.client` ends an answer that was cut as it ends a whole one, where it is read in
        # blocks.
        if total and done != total:
            raise DownloadError(f"{address} broke off after {done:,} of {total:,} bytes; try again")


def connect(address: str, seconds: float = CONNECT_SECONDS) -> Any:
    """Returns a server's answer, whose headers are read; it must be closed.

    Raises:
      DownloadError: no connection within `seconds`, or an answer that says no.
    """
    try:
        return _connect(address, seconds)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(f"{address} cannot be downloaded: {_reason(error)}") from error


def _connect(address: str, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    pauses = iter(_PAUSES_SECONDS)
    while True:
        try:
            return _open_within(address, seconds, deadline - time.monotonic())
        except (OSError, http.client.HTTPException) as error:
            pause = next(pauses, math.inf)
            refused = False
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                # What the server does not have now it will not have in a second.
                refused = error.code < 500
            if refused or time.monotonic() + pause >= deadline:
                raise
            time.sleep(pause)


def _open_within(address: str, silence: float, seconds: float) -> Any:
    """Opens an address in a thread that is left behind where it takes longer.

    Looking up a host's name has no time limit of its own, and cannot be interrupted.
    """
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def work() -> None:
        try:
            future.set_result(urllib.request.urlopen(address, timeout=silence))
        except Exception as error:
            future.set_exception(error)

    # A daemon, so that the program may end while the look-up hangs.
    threading.Thread(target=work, daemon=True).start()
    try:
        return future.result(timeout=max(seconds, 0.0))
    except TimeoutError:
        raise TimeoutError("no answer") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server says {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return f"no connection ({str(reason) or type(reason).__name__})"


def _stated_bytes(answer: Any) -> int:
    """Returns how long a server says that its answer is; 0 where it says nothing of use."""
    stated = answer.headers.get("Content-Length", "")
    return int(stated) if stated.isdecimal() else 0


def _blocks(answer: Any, address: str) -> Iterator[bytes]:
    while True:
        try:
            block = answer.read(_BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(f"{address} broke off: {error}; try again") from error
        if not block:
            return
        yield block
