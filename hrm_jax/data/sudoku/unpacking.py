"""Lines of text from what people have: plain, compressed, or an archive with one file.

What a file is, its content says and not its name.
"""

import gzip
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, cast

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import decode_text

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_TAR = b"ustar"
_TAR_OFFSET = 257
_UNREADABLE = {
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\0": "compressed by xz",
    b"(\xb5/\xfd": "compressed by zstd",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"PK\x05\x06": "an empty archive",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "a document of an office program",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
}
"""What no text begins with, by its first bytes."""
# Text in a compressed archive in an archive; a file can be made that unpacks to itself for ever.
_MOST_LAYERS = 3
_MOST_NAMES_SHOWN = 10
# What gzip, zipfile and tarfile raise for damaged content, or for what they do not support.
_DAMAGE = (
    *(OSError, EOFError, LookupError, OverflowError, RuntimeError, ValueError),
    *(struct.error, zlib.error, zipfile.BadZipFile, tarfile.TarError),
)


class PuzzleFileError(UserError, ValueError):
    """A puzzle file cannot be used; the message says why, where, and the remedy."""


def text_lines(stream: IO[bytes], source: str) -> Iterator[str]:
    """Yields the lines of a file, without their ends and without a final Ctrl-Z.

    Args:
      stream: a file that can be sought, at its beginning; gzip, zip and tar are unpacked.
      source: names it in errors.

    Raises:
      PuzzleFileError: the content is damaged or no text, or an archive has not exactly one file.
      TextError: the text is not UTF-8.
    """
    number = 1
    try:
        for content in _unpacked(stream, source, _MOST_LAYERS):
            text = decode_text(content, source, first_line=number)
            # A carriage return alone ended lines once, and still does in exports for old systems.
            for line in text.rstrip("\r\n\x1a").split("\r"):
                yield line
                number += 1
    except UserError:
        raise
    except _DAMAGE as error:
        raise PuzzleFileError(
            f"{source}: cannot be unpacked ({error}): unpack it by hand, or fetch it again"
        ) from error


def _unpacked(stream: IO[bytes], source: str, layers: int) -> IO[bytes]:
    """Returns the stream of what lies inside of at most so many layers of packing."""
    # A tar's mark stands within its first block, those of the others at the very beginning.
    start = stream.read(_TAR_OFFSET + len(_TAR))
    stream.seek(0)
    if start.startswith(_GZIP):
        inner = cast(IO[bytes], gzip.GzipFile(fileobj=stream, mode="rb"))
    elif start.startswith(_ZIP):
        inner = _only_zipped(stream, source)
    elif start[_TAR_OFFSET:] == _TAR:
        inner = _only_archived(stream, source)
    else:
        _require_text(start, source)
        return stream
    if layers == 0:
        raise PuzzleFileError(f"{source}: is packed too many times: unpack it by hand")
    return _unpacked(inner, source, layers - 1)


def _require_text(start: bytes, source: str) -> None:
    for magic, kind in _UNREADABLE.items():
        if start.startswith(magic):
            raise PuzzleFileError(
                f"{source}: expected text, plain or in gzip, zip or tar, got {kind}: unpack it, or"
                " save its puzzles as text or CSV"
            )


def _only_zipped(stream: IO[bytes], source: str) -> IO[bytes]:
    archive = zipfile.ZipFile(stream)
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    # Documents of office programs are zip archives: these files are what tells them apart.
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise PuzzleFileError(
            f"{source}: expected text, got a document of an office program: save the sheet with"
            " the puzzles as CSV (UTF-8)"
        )
    return archive.open(_only_name(names, source))


def _only_archived(stream: IO[bytes], source: str) -> IO[bytes]:
    archive = tarfile.open(fileobj=stream)  # noqa: SIM115  (the stream that it gives needs it open)
    names = [member.name for member in archive.getmembers() if member.isfile()]
    inner = archive.extractfile(_only_name(names, source))
    assert inner is not None, "a regular file has content"
    return inner


def _only_name(names: Sequence[str], source: str) -> str:
    """Returns the name of an archive's only file; what systems add to archives does not count."""
    own = [
        name
        for name in names
        if not name.startswith("__MACOSX/") and not name.rsplit("/", 1)[-1].startswith(".")
    ]
    if len(own) == 1:
        return own[0]
    if not own:
        raise PuzzleFileError(f"{source}: the archive has no file in it")
    shown = ", ".join(own[:_MOST_NAMES_SHOWN])
    more = f" and {len(own) - _MOST_NAMES_SHOWN} more" if len(own) > _MOST_NAMES_SHOWN else ""
    raise PuzzleFileError(
        f"{source}: the archive has {len(own)} files, {shown}{more}: unpack it and name one of them"
    )
