"""Documents and projects: source files before they are tokenized."""

import dataclasses
from collections.abc import Callable, Iterator

SPLITS = ("train", "validation", "test")
CORPUS_FILE = "dataset_info.json"
"""A file that the folder of every prepared corpus holds."""


@dataclasses.dataclass(frozen=True)
class Document:
    """A source file of a project.

    Attributes:
      project: name of its project.
      path: where it lies in the project, with `/` between folders.
      language: one of `hrm_jax.data.text.languages.LANGUAGES`.
      text: what it says.
    """

    project: str
    path: str
    language: str
    text: str


@dataclasses.dataclass(frozen=True)
class Project:
    """A set of files that belong together, and so go to one split.

    Attributes:
      name: no two projects of a corpus share one.
      version: a release, a commit, or empty where it has none.
      licence: an SPDX expression, or None where none was found.
      read_files: yields path and content of every file, in an order that is always the same.
      split: one of `SPLITS`; None to draw it by the name.
    """

    name: str
    version: str
    licence: str | None
    read_files: Callable[[], Iterator[tuple[str, bytes]]]
    split: str | None = None
