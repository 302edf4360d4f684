"""Chooses parts of other documents and files that a model is to see."""

import pathlib
from collections.abc import Sequence, Set
from typing import NamedTuple

from hrm_jax.context.choosing import File, choose, imported_names
from hrm_jax.editing.documents import Document, Documents
from hrm_jax.editing.exclusions import is_file_excluded
from hrm_jax.editing.positions import with_plain_ends
from hrm_jax.editing.project import Project, read
from hrm_jax.editing.settings import Settings
from hrm_jax.editing.windows import Budget, Chunk, prefix_within, suffix_within

_NEAR_LINES = 30
"""How far somebody may go before parts are chosen anew."""


def may_be_sent(document: Document, settings: Settings) -> bool:
    """Returns whether neither git nor a pattern of the settings leaves a document out.

    What is no file on this machine, such as a file within an archive, is not sent; a new document
    without a name is.
    """
    if document.path is None:
        return document.is_unnamed
    return not is_file_excluded(document.path, settings.exclude)


def name_of(path: pathlib.Path | None, folders: Sequence[pathlib.Path]) -> str:
    """Returns a file's path within a project, or its name alone: no path of this machine.

    Args:
      path: where it lies; None for a document without a file.
      folders: those of the projects that are open.
    """
    if path is None:
        return "untitled"
    root = root_of(path, folders)
    return path.name if root is None else path.relative_to(root).as_posix()


def root_of(path: pathlib.Path | None, folders: Sequence[pathlib.Path]) -> pathlib.Path | None:
    """Returns the innermost folder of a project that a file lies in, or None."""
    # Folders may lie in each other: the innermost one's ignore rules and names count.
    around = [folder for folder in folders if path is not None and path.is_relative_to(folder)]
    return max(around, key=lambda folder: len(folder.parts), default=None)


class _Key(NamedTuple):
    """What parts are chosen for: when it changes, so do they."""

    uri: str
    budget: Budget
    window_begin: int
    imported: frozenset[str]
    open_uris: frozenset[str]


class _Chosen(NamedTuple):
    """Parts of files, what they were chosen for, and at which line."""

    key: _Key
    line: int
    chunks: list[tuple[Document, Chunk]]


class Neighbours:
    """What a document is shown with, which stays the same while somebody stays where they are.

    It stands at the beginning of the prompt: with other parts, the server would read all anew.
    """

    def __init__(self, documents: Documents):
        """Chooses among the open documents and the files near one of them."""
        self._documents = documents
        self._project = Project()
        self._chosen: _Chosen | None = None

    def chunks(
        self,
        document: Document,
        around: tuple[str, str],
        settings: Settings,
        folders: Sequence[pathlib.Path],
    ) -> list[Chunk]:
        """Returns parts of files of the same language, those of the likeliest file last.

        Args:
          document: where somebody is.
          around: all of it before the cursor, and all behind; lines end with `\\n`.
          settings: say how much of others, and what may be sent.
          folders: those of the projects that are open.
        """
        budget = settings.budget
        if budget.context == 0:
            return []
        before, _ = around
        key = _Key(
            document.uri,
            budget,
            len(before) - len(prefix_within(before, budget.prefix)),
            frozenset(imported_names(before)),
            frozenset(other.uri for other in self._documents),
        )
        line = before.count("\n")
        chosen = self._chosen
        if chosen is None or chosen.key != key or abs(chosen.line - line) > _NEAR_LINES:
            parts = self._choose(document, around, key, settings, folders)
            self._chosen = chosen = _Chosen(key, line, parts)
        # Asked again each time: what may be sent can change while somebody types.
        return [chunk for other, chunk in chosen.chunks if may_be_sent(other, settings)]

    def _choose(
        self,
        document: Document,
        around: tuple[str, str],
        key: _Key,
        settings: Settings,
        folders: Sequence[pathlib.Path],
    ) -> list[tuple[Document, Chunk]]:
        before, after = around
        others = self._others(document, key.imported, folders)
        by_name = {name_of(document.path, folders): document}
        # What of the document is not in its window may be shown too.
        own = before[: key.window_begin], after[len(suffix_within(after, key.budget.suffix)) :]
        files = [File(name, text) for name in by_name for text in own]
        for other in others:
            name = name_of(other.path, folders)
            if name not in by_name and may_be_sent(other, settings):
                by_name[name] = other
                files.append(File(name, with_plain_ends(other.text)))
        found = choose(files, before, after, key.budget.context)
        return [(by_name[part.filename], Chunk(*part)) for part in found]

    def _others(
        self, document: Document, imported: Set[str], folders: Sequence[pathlib.Path]
    ) -> list[Document]:
        """Returns other documents of the same language: open ones, and files near this one."""
        found = [one for one in self._documents if one.language == document.language]
        # An open document is newer than its file.
        known = {one.path for one in found}
        path = document.path
        root = root_of(path, folders)
        if path is not None and root is not None:
            for near in self._project.near(path, root, imported):
                text = None if near in known else read(near)
                if text is not None:
                    found.append(Document(near.as_uri(), document.language, text))
        return found
