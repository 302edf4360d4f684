"""Pictures as files: which formats there are, and writing one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.rendering.trace import Trace
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import write_atomically

MOST_PUZZLES = 12
"""More cannot be told apart in one picture."""


class RenderError(UserError, ValueError):
    """What was asked for cannot be drawn or written; nothing has been written."""


def _html(traces: Sequence[Trace]) -> str:
    from experiments.rendering.page import to_html

    return to_html(traces)


def _png(traces: Sequence[Trace]) -> bytes:
    from experiments.rendering.sheet import to_png

    return to_png(traces)


def _gif(traces: Sequence[Trace]) -> bytes:
    from experiments.rendering.animation import to_gif

    return to_gif(traces)


# Each imports what it draws with when it is asked to: a solver that draws nothing waits for none.
_FORMATS: dict[str, Callable[[Sequence[Trace]], str | bytes]] = {
    ".html": _html,
    ".png": _png,
    ".gif": _gif,
}


def check_picture(path: Path, puzzles: int) -> None:
    """Checks that this many puzzles can be drawn into `path`, before any work is done.

    Raises:
      RenderError: its suffix names no format, its folder does not exist, or the puzzles are too
        many.
    """
    if path.suffix.lower() not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise RenderError(f"expected a picture named *{known}, got {path.name!r}: rename it")
    if not path.parent.is_dir():
        raise RenderError(f"expected a folder at {path.parent}, found none: make it first")
    if puzzles > MOST_PUZZLES:
        raise RenderError(
            f"expected at most {MOST_PUZZLES} puzzles in a picture, got {puzzles}: draw a part of"
            " them, or solve without a picture"
        )


def save_picture(traces: Sequence[Trace], path: Path) -> None:
    """Draws the traces, one or more, in the format that the suffix of `path` names.

    Raises:
      RenderError: as `check_picture`.
    """
    # Again, for callers that have not asked before their work.
    check_picture(path, len(traces))
    write_atomically(path, _FORMATS[path.suffix.lower()](traces))
