"""Makes suggestions for a place in a document, and remembers them."""

import collections
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from hrm_jax.editing.server import Filling, Hole, Server
from hrm_jax.editing.settings import Settings
from hrm_jax.editing.shaping import shape_at, shaped
from hrm_jax.editing.windows import Chunk, prefix_within, suffix_within

_REMEMBERED = 250
_KEY_BEFORE = 1000
_KEY_AFTER = 300
_MOST_TYPED = 200


class Gap(NamedTuple):
    """A place in a document, and what else a model is to see; lines end with `\\n`.

    Attributes:
      uri: tells documents apart.
      before: all of the document before the place.
      after: all behind it.
      context: parts of files.
      filename: the document's path within its project; empty where it is not told.
      project: the project's name; empty likewise.
    """

    uri: str
    before: str
    after: str
    context: Sequence[Chunk] = ()
    filename: str = ""
    project: str = ""


class Suggester:
    """Asks a server for suggestions, and remembers what it answered."""

    def __init__(self) -> None:
        self._known: collections.OrderedDict[tuple[str, ...], str] = collections.OrderedDict()

    def known(self, gap: Gap) -> str | None:
        """Returns what is known to go in a gap, or what is left of it after some was typed.

        Returns:
          None where nothing is known; empty where it is known that nothing goes there.
        """
        # The fewest typed characters first: the newest suggestion.
        for typed in range(min(_MOST_TYPED, len(gap.before)) + 1):
            begin = len(gap.before) - typed
            found = self._known.get(_key(gap, begin))
            if found is not None and found.startswith(gap.before[begin:]):
                if typed and len(found) == typed:
                    continue  # All of it was typed: what comes next was not asked yet.
                self._known.move_to_end(_key(gap, begin))
                return found[typed:]
        return None

    def forget(self) -> None:
        """Forgets everything: what was suggested depends on the settings."""
        self._known.clear()

    async def suggest(self, server: Server, gap: Gap, settings: Settings) -> str:
        """Returns the likeliest suggestion; empty for none.

        Raises:
          ServerAway, ServerRefused: as `Server.fill`.
        """
        budget = settings.budget
        hole = Hole(
            prefix_within(gap.before, budget.prefix_beside(gap.context)),
            suffix_within(gap.after, budget.suffix),
            gap.context,
            gap.filename,
            gap.project,
        )
        shape = shape_at(gap.before, gap.after, _most_lines(gap, settings))
        is_line = shape.max_lines == 1
        filling = Filling(settings.max_tokens, settings.max_milliseconds, one_line=is_line)
        text = ""
        # Closed at once where enough is there: the server stops writing when the connection closes.
        async with contextlib.aclosing(server.fill(hole, filling)) as parts:
            async for part in parts:
                text += part
                if shaped(text, shape).done:
                    break
        suggestion = shaped(text, shape).text
        self._remember(gap, suggestion if suggestion.strip() else "")
        return suggestion

    def _remember(self, gap: Gap, suggestion: str) -> None:
        self._known[_key(gap, len(gap.before))] = suggestion
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _most_lines(gap: Gap, settings: Settings) -> int:
    """Returns the number of lines of a suggestion at most.

    Who pauses within a line waits for the rest of it, and does not wait for lines behind it as
    well, unless any time will do.
    """
    is_begun = gap.before.rpartition("\n")[2].strip() != ""
    return 1 if is_begun and settings.max_milliseconds > 0 else settings.max_lines


def _key(gap: Gap, end: int) -> tuple[str, ...]:
    """Returns what a gap is known by, as if its document ended before it at a place."""
    return gap.uri, gap.before[max(0, end - _KEY_BEFORE) : end], gap.after[:_KEY_AFTER]
