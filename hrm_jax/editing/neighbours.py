"""Chooses parts of other open documents that a model is to see."""

import pathlib
from collections.abc import Sequence

from hrm_jax.editing.documents import Document, Documents
from hrm_jax.editing.exclusions import is_file_excluded
from hrm_jax.editing.positions import with_plain_ends
from hrm_jax.editing.settings import Settings
from hrm_jax.editing.windows import Chunk, Neighbour, chunks_of

_MOST_FILES = 4


def may_be_sent(document: Document, settings: Settings) -> bool:
    """Returns whether neither git nor a pattern of the settings leaves a document out.

    What is no file on this machine, such as a file within an archive, is not sent; a new document
    without a name is.
    """
    if document.path is None:
        return document.is_unnamed
    return not is_file_excluded(document.path, settings.exclude)


def name_of(document: Document, folders: Sequence[pathlib.Path]) -> str:
    """Returns a document's path within a project, or its name alone: no path of this machine.

    Args:
      document: the document.
      folders: those of the projects that are open.
    """
    path = document.path
    if path is None:
        return "untitled"
    inside = [path.relative_to(folder) for folder in folders if path.is_relative_to(folder)]
    return min(inside, key=lambda one: len(one.parts)).as_posix() if inside else path.name


class Neighbours:
    """What a document is shown with, which stays the same while somebody stays in it.

    It stands at the beginning of the prompt: with other parts, the server would read all anew.
    """

    def __init__(self, documents: Documents):
        """Chooses among the open documents."""
        self._documents = documents
        self._chosen_for: tuple[str, int] | None = None
        self._chosen: list[tuple[Document, Chunk]] = []

    def chunks(
        self, document: Document, settings: Settings, folders: Sequence[pathlib.Path]
    ) -> list[Chunk]:
        """Returns parts of other documents of the same language, the most recent last.

        Args:
          document: where somebody is.
          settings: say how much of others, and what may be sent.
          folders: those of the projects that are open.
        """
        characters = settings.budget.context
        if self._chosen_for != (document.uri, characters):
            self._chosen_for = (document.uri, characters)
            self._chosen = self._choose(document, settings, folders)
        # Asked again each time: what may be sent can change while somebody types.
        return [
            chunk
            for other, chunk in self._chosen
            if self._documents.get(other.uri) and may_be_sent(other, settings)
        ]

    def _choose(
        self, document: Document, settings: Settings, folders: Sequence[pathlib.Path]
    ) -> list[tuple[Document, Chunk]]:
        others = {}
        neighbours = []
        for other in self._documents:
            is_alike = other.uri != document.uri and other.language == document.language
            if is_alike and may_be_sent(other, settings):
                name = name_of(other, folders)
                others[name] = other
                neighbours.append(Neighbour(name, with_plain_ends(other.text), other.line))
        chunks = chunks_of(neighbours, settings.budget.context, _MOST_FILES)
        return [(others[chunk.filename], chunk) for chunk in chunks]
