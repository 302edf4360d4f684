"""Writes puzzles as CSV with the columns of Sudoku-Extreme."""

import gzip
import pathlib
from collections.abc import Sequence

from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.puzzles import Puzzles

HEADER = "source,question,answer,rating"
"""The first line."""


def write(path: pathlib.Path | str, puzzles: Puzzles, sources: Sequence[str]) -> None:
    """Writes puzzles as `source,question,answer,rating`; equal content gives equal bytes.

    Args:
      path: the file, compressed if its name ends in `.gz`.
      puzzles: [B] puzzles.
      sources: [B] the origin of each, without commas.

    Raises:
      ValueError: the numbers of puzzles and sources differ, or a source has a comma, a quote or a
        line break.
    """
    path = pathlib.Path(path)
    lines = [HEADER]
    for source, question, answer, rating in zip(
        sources, puzzles.questions, puzzles.answers, puzzles.ratings, strict=True
    ):
        if any(character in source for character in ',"\n\r'):
            raise ValueError(f"a source has no comma, quote or line break, but one is {source!r}")
        lines.append(f"{source},{rules.format_grid(question)},{rules.format_grid(answer)},{rating}")
    text = ("\n".join(lines) + "\n").encode("ascii")
    # A time stamp in the header would make the bytes depend on the day.
    packed = gzip.compress(text, compresslevel=9, mtime=0) if path.suffix == ".gz" else text
    path.write_bytes(packed)
