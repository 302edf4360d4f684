"""Holds the documents that an editor has open, as it has them, and where somebody was in each."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from hrm_jax.editing import positions
from hrm_jax.editing.positions import Place


@dataclasses.dataclass(frozen=True)
class Document:
    """An open document.

    Attributes:
      uri: its name in the protocol.
      language: its language's identifier, such as `python`.
      text: all of it, with the ends of lines that it has.
      line: where somebody was in it last, from 0.
    """

    uri: str
    language: str
    text: str
    line: int = 0

    @property
    def path(self) -> pathlib.Path | None:
        """Where it lies; None where it has no file, or not one on this machine."""
        parts = urlsplit(self.uri)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        path = url2pathname(parts.path)
        return pathlib.Path(path) if path.strip("/\\") else None

    @property
    def is_unnamed(self) -> bool:
        """Whether it was never saved, so that it has no path by which it could be excluded."""
        return urlsplit(self.uri).scheme == "untitled" or self.uri in ("", "file://", "file:///")


@dataclasses.dataclass(frozen=True)
class Change:
    """What stands between two places becomes another text; without places, all of a document."""

    text: str
    begin: Place | None = None
    end: Place | None = None


class Documents:
    """The open documents, those that somebody was in last first."""

    def __init__(self, encoding: str = "utf-16"):
        """Begins without any.

        Args:
          encoding: of positions: `utf-8`, `utf-16` or `utf-32`.
        """
        self.encoding = encoding
        self._documents: dict[str, Document] = {}

    def __iter__(self) -> Iterator[Document]:
        return reversed(self._documents.values())

    def get(self, uri: str) -> Document | None:
        """Returns an open document, or None."""
        return self._documents.get(_key(uri))

    def open(self, document: Document) -> None:
        """Adds a document, or replaces it."""
        # Taken out first, so that it becomes the last, in which somebody was most recently.
        self.close(document.uri)
        self._documents[_key(document.uri)] = document

    def close(self, uri: str) -> None:
        """Forgets a document."""
        self._documents.pop(_key(uri), None)

    def change(self, uri: str, changes: Sequence[Change]) -> None:
        """Makes changes to a document, each of which counts from the one before."""
        document = self.get(uri)
        if document is None:
            return
        text = document.text
        line = document.line
        for change in changes:
            if change.begin is None or change.end is None:
                # Without places the change is the whole text.
                text = change.text
                continue
            text = positions.with_change(text, change.begin, change.end, change.text, self.encoding)
            line = change.begin.line
        self.open(dataclasses.replace(document, text=text, line=line))

    def visit(self, uri: str, line: int) -> None:
        """Notes that somebody is at a line of a document."""
        document = self.get(uri)
        if document is not None:
            self.open(dataclasses.replace(document, line=line))


def _key(uri: str) -> str:
    # Editors escape a URI's characters in different ways, and one editor may use several.
    return unquote(uri)
