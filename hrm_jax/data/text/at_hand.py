"""Code that every machine with Python has: its standard library, its C headers, and this package.

Nothing is downloaded. Files that belong together (a package; a header and its internal
counterpart) are one project, and projects are held out as a whole.
"""

import pathlib
import sysconfig
import zlib
from collections.abc import Iterator

from hrm_jax.data.text.languages import language_of
from hrm_jax.data.text.source import Text

LONGEST_BYTES = 200_000
"""Limit for files; longer ones are mostly tables of data."""

_HELD_OUT = {0: "validation", 1: "test"}
_SHARES = 16
_NOT_CODE = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test"}
_OURS = ("hrm_jax", "kernels", "hrm_kernels", "experiments")  # in a clone, or installed


def texts_at_hand() -> dict[str, list[Text]]:
    """Returns the texts of "train", "validation" and "test", always in the same order.

    About a sixteenth of the projects is in each of the latter two. Files that are longer than
    `LONGEST_BYTES`, empty, not UTF-8 or in an unknown language are left out.
    """
    found: dict[str, list[Text]] = {"train": [], "validation": [], "test": []}
    for project, path in _files():
        if path.stat().st_size <= LONGEST_BYTES:
            content = path.read_bytes().decode("utf-8", errors="replace")
            language = language_of(path.name, content)
            # Bytes that are not UTF-8 were decoded to U+FFFD; such files are not text.
            if language and content.strip() and "\ufffd" not in content:
                # CRC-32 rather than `hash`, which differs from process to process.
                share = zlib.crc32(project.encode()) % _SHARES
                found[_HELD_OUT.get(share, "train")].append(Text(content, language=language))
    return found


def _files() -> Iterator[tuple[str, pathlib.Path]]:
    """Yields every file with the name of its project."""
    paths = sysconfig.get_paths()
    package = pathlib.Path(__file__).parents[3]
    for folder in (package / name for name in _OURS):
        yield from (("ours", path) for path in _below(folder) if path.suffix == ".py")
    library = pathlib.Path(paths["stdlib"])
    for path in _below(library):
        if path.suffix == ".py":
            top = path.relative_to(library).parts[0]
            # An underscore in front does not make another project.
            yield top.removesuffix(".py").lstrip("_"), path
    for path in _below(pathlib.Path(paths["include"])):
        if path.suffix == ".h":
            # internal/pycore_NAME.h and cpython/NAME.h belong to NAME.h.
            yield path.stem.removeprefix("pycore_").lstrip("_"), path


def _below(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns all files below a folder, except tests and installed packages."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in found if not _NOT_CODE & {*path.relative_to(folder).parts})
