"""Files that stay whole, old or new, if the process is killed, and whose damage is detected."""

import codecs
import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from hrm_jax.core.errors import UserError

MANIFEST = "manifest.json"
_LOCK = ".lock"
_POINTER = b"version https://git-lfs"
_PAGE = re.compile(rb"\s*<(!doctype|html)", re.IGNORECASE)
# Without a byte-order mark it is known by the null beside each letter of a Latin text.
_UTF16 = {
    "UTF-16": re.compile(b"|".join((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))),
    "UTF-16LE": re.compile(rb"([^\0]\0){2}"),
    "UTF-16BE": re.compile(rb"(\0[^\0]){2}"),
}


class TextError(UserError, ValueError):
    """A file is not UTF-8 text."""


def read_text(path: Path) -> str:
    """Returns the text of a UTF-8 file, without a byte-order mark.

    Raises:
      TextError: it is in another encoding; the message names the line.
      OSError: it cannot be read.
    """
    content = path.read_bytes()
    return decode_text(content, str(path))


def read_entries(path: Path) -> list[str]:
    """Returns the lines of a text file, stripped, that are neither empty nor comments (`#`).

    Raises:
      TextError, OSError: as `read_text`.
    """
    lines = (line.strip() for line in read_text(path).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def decode_text(content: bytes, source: str, first_line: int = 1) -> str:
    """Returns UTF-8 text without a byte-order mark.

    Args:
      content: the text, or a part of it that begins with a line.
      source: names it in errors.
      first_line: the number of the line that it begins with.

    Raises:
      TextError: it is in another encoding; the message names the line.
    """
    # First, as UTF-16 of Latin letters is valid UTF-8, with a null beside each.
    for encoding, beginning in _UTF16.items():
        if beginning.match(content):
            raise TextError(f"{source}: expected UTF-8 text, got {encoding}; {_convert(encoding)}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + first_line
        raise TextError(
            f"{source}, line {line}: expected UTF-8 text, got byte {content[error.start]:#04x}; "
            f"{_convert('LATIN1')} (or the encoding that it has)"
        ) from error


class JsonError(UserError, ValueError):
    """A file is not JSON, or holds another kind of value than it should."""


def read_json(path: Path) -> Any:
    """Returns the value of a JSON file.

    Raises:
      JsonError: it is no JSON.
      TextError: it is not UTF-8.
      OSError: it cannot be read.
    """
    return parse_json(read_text(path), str(path))


def read_json_object(path: Path) -> dict[str, Any]:
    """Returns the fields of a JSON file; raises as `read_json`, and JsonError for other values."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise JsonError(f"{path}: expected an object, got {value!r:.40}; get the file anew")
    return value


def parse_json(text: str, source: str) -> Any:
    """Returns the value of JSON text; `source` names it in errors.

    Raises:
      JsonError: it is no JSON.
    """
    try:
        return json.loads(text)
    # Deeper brackets than any file has by intention end the parser's recursion.
    except (ValueError, RecursionError) as error:
        came = what_came(text, f"{error}; get the file anew")
        raise JsonError(f"{source}: expected JSON text, got {came}") from error


def what_came(content: bytes | str, otherwise: object) -> str:
    """Returns what often comes in place of a file, or what is said otherwise.

    Args:
      content: the file's beginning.
      otherwise: why it cannot be read.
    """
    start = content[:64].encode("utf-8", "replace") if isinstance(content, str) else content[:64]
    if start.startswith(_POINTER):
        return "a pointer of Git LFS to it: fetch the file itself (git lfs pull)"
    if _PAGE.match(start):
        return "a web page: take the link of the file itself, and log in where it is asked for"
    return str(otherwise)


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _convert(encoding: str) -> str:
    return f"convert it: iconv -f {encoding} -t UTF-8 FILE > NEW_FILE"


class InUse(UserError, OSError):
    """Another process works in the folder."""


@contextlib.contextmanager
def exclusive(folder: Path, *, wanted: bool = True) -> Iterator[None]:
    """Locks a folder for this process until the block or the process ends, however it ends.

    The lock holds among processes of one machine that ask for it. On systems without such locks
    (Windows) it does nothing.

    Args:
      folder: an existing folder.
      wanted: False to do nothing.

    Raises:
      InUse: if another process holds the lock.
    """
    fcntl = _locks() if wanted else None
    if fcntl is None:
        yield
        return
    # The kernel releases the lock when the file is closed, even after a kill; the file itself
    # stays, because removing it could let two processes lock two files of the same name.
    with open(folder / _LOCK, "w") as file:
        try:
            # Refused at once: a process that waits here would seem to hang.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(f"another process works in {folder}; stop it, or wait for it") from error
        yield


def _locks() -> Any:
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


@contextlib.contextmanager
def appearing_whole(path: Path) -> Iterator[BinaryIO]:
    """Yields a file that gets its name when the block ends, and is removed where that fails.

    Until then it lies beside `path` under a name of its own, so that several processes may write
    the same, and a file that was there before stays.
    """
    # A file of `tempfile` could be read by its owner alone; the mode of this one is the umask's.
    aside = path.with_name(f".part-{secrets.token_hex(8)}")
    try:
        with open(aside, "xb") as file:
            yield file
        os.replace(aside, path)
    # An interrupt, too, leaves no part behind.
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes `content` to `path`; a reader sees the old file or the new one, never a part.

    It is written to `<path>.tmp` first, so only one process may write `path` at a time. Text is
    written as UTF-8.
    """
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
        file.flush()
        # Without this the rename could become durable before the bytes, and leave an empty file.
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable, as fsync makes a file's bytes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(folder: Path) -> None:
    """Writes size and SHA-256 of every file below `folder` to its `manifest.json`, durably."""
    entries = {}
    # Names are durable only after their folder is synced, bytes only after their file is.
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
            continue
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        name = path.relative_to(folder).as_posix()
        entries[name] = {"bytes": path.stat().st_size, "sha256": digest}
    # Last: by now all that it lists is durable.
    write_atomically(folder / MANIFEST, json.dumps({"files": entries}, indent=1))


def find_damage(folder: Path, *, hashes: bool = True) -> str | None:
    """Returns how a folder differs from its manifest, or None for an intact folder.

    Args:
        folder: the folder that `write_manifest` was called on. Files added since are ignored.
        hashes: whether to read every byte; if not, only presence and sizes are compared.

    Returns:
        Which file is damaged and how.
    """
    try:
        entries = read_json_object(folder / MANIFEST)["files"]
        # An entry of another form is damage like any other.
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in entries.items()}
    except FileNotFoundError:
        return f"{MANIFEST} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({type(error).__name__}: {error})"
    for name, (size, digest) in expected.items():
        path = folder / name
        try:
            # Sizes first: a file that was cut off need not be hashed.
            found = path.stat().st_size
            if found != size:
                return f"{name}: expected {size} bytes, found {found}"
            if hashes and hash_of(path) != digest:
                return f"{name}: its bytes differ from the SHA-256 in {MANIFEST}"
        except FileNotFoundError:
            return f"{name} is missing"
        except (OSError, ValueError) as error:
            return f"{name} cannot be read ({error})"
    return None
