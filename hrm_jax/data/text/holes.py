"""Where the text that fills a hole ends.

Few models stop at the far edge of a hole: most write on, and repeat the text behind it, or write a
rest of their own as if there were none. So what is written is compared, a line at a time, with the
text around the hole:

- It ends where it meets the text behind the hole: where a line of it is the first line behind, or
  ends with the rest of the line that the hole is in. What repeats that text is cut.
- In a hole within a line, with text on both sides, it ends with the line; so does a single line
  that is asked for.
- It is over where the block closes: at the first line outside of the hole's function or class, or
  a line of Python after which the text behind the hole would not be reached; in other languages,
  without text behind the hole, where all brackets are closed.
- If it did not meet the text behind the hole until then, it ends after a line with which all of the
  text is well formed, and after which most is like the text behind the hole.

What a model ends by itself is left as it is, but for what repeats the text behind the hole. Where
nothing is left, `may_be_empty` tells whether that can be.
"""

import dataclasses
import difflib
import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hrm_jax.data.text.names import undefined_names
from hrm_jax.data.text.well_formed import begins_python, is_balanced, parses

_OPENS_SCOPE = re.compile(r"\s*(?:async\s+)?(?:def|class)\b")
_LEAVES = re.compile(r"\s*(?:return|raise|break|continue)\b")
_COMMENT = re.compile(r"\s*(?:#|//|$)")
_LINES_BEHIND = 40
"""Number of lines behind a hole that are compared."""
_ALIKE = 0.6


class Fill(NamedTuple):
    """How much of a text fills its hole.

    Attributes:
      length: number of first characters that are part of the fill, whatever comes after.
      over: whether they are all of it.
    """

    length: int
    over: bool


class _Line(NamedTuple):
    """A line of what was written, from `begin` to `end` without its line end."""

    begin: int
    end: int
    text: str


@dataclasses.dataclass(frozen=True)
class Hole:
    """A hole in a text, and what is asked for.

    Attributes:
      prefix: the text before it.
      suffix: the text behind it.
      one_line: whether a single line is to fill it.
    """

    prefix: str
    suffix: str
    one_line: bool = False

    @functools.cached_property
    def may_be_empty(self) -> bool:
        """Whether the texts around the hole are a whole: well formed, with all names defined."""
        if not self._is_python or not self._fits(""):
            return self._fits("")
        whole = self.prefix + self.suffix
        # What is imported so is not known by name.
        is_known = parses(whole) and "import *" not in whole
        return not (is_known and undefined_names(whole))

    def measure(self, written: str, *, ended: bool = False, cut: bool = False) -> Fill:
        """Returns how much of what is written so far fills the hole.

        Args:
          written: the text that follows the prefix, so far.
          ended: whether it is complete: the model has ended it.
          cut: whether no more of it will come, though it is not complete.
        """
        # Line by line; the first `certain` characters are part of the fill whatever comes later.
        first: _Line | None = None
        certain = 0
        for line in _lines(written, last=ended or cut):
            if not (ended or cut) and self._waits(written, line):
                break
            # The text behind the hole is looked for first: a line of it may also close the block,
            # or leave it.
            met = self._meeting(written, line, ended)
            if met is not None:
                return Fill(met, over=True)
            if self._closes(written, line):
                return Fill(self._best_end(written[: line.begin], first), over=True)
            if first is not None and self._leaves(written, line):
                end = self._best_end(written[: line.end], first, but_last=True)
                return Fill(end, over=True)
            if first is None and self._may_end(written, line):
                first = line
                if self._ends_at_once:
                    return Fill(self._after(written, line), over=True)
            # Within a line only the first line is certain: later ones are dropped if nothing fits.
            if line.begin == 0 or not self._is_within_line:
                certain = line.end
        if ended:
            return Fill(len(written), over=True)
        if cut:
            return Fill(self._best_end(written, first), over=True)
        if first is not None:
            return Fill(self._after(written, first), over=False)
        return Fill(len(written[:certain].rstrip()), over=False)

    @functools.cached_property
    def _before(self) -> str:
        """What stands before the hole in its line."""
        return self.prefix.rpartition("\n")[2]

    @functools.cached_property
    def _behind(self) -> str:
        """What stands behind the hole in its line."""
        return self.suffix.partition("\n")[0].rstrip()

    @functools.cached_property
    def _is_between_lines(self) -> bool:
        """Whether whole lines are before the hole and behind it, so that it ends with a line."""
        return not self._before and bool(self._behind.strip())

    @functools.cached_property
    def _is_within_line(self) -> bool:
        return bool(self._before.strip() and self._behind.strip())

    @functools.cached_property
    def _lines_behind(self) -> list[str]:
        """The first whole lines behind the hole that are not blank."""
        behind = self.suffix if self._is_between_lines else self.suffix.partition("\n")[2]
        lines = (line.rstrip() for line in behind.split("\n"))
        return [line for line in lines if line][:_LINES_BEHIND]

    @functools.cached_property
    def _is_python(self) -> bool:
        return begins_python(self.prefix.rpartition("\n")[0])

    @functools.cached_property
    def _ends_at_once(self) -> bool:
        """Whether the fill ends with the first line that it may end with."""
        return self.one_line or self._is_within_line or not self.suffix.strip()

    def _meeting(self, written: str, line: _Line, ended: bool) -> int | None:
        """Returns where the fill ends if this line meets the text behind the hole, or None."""
        if self._is_next(written, line):
            end = self._until(written, line)
            if self._fits(written[:end]):
                return end
        whole = written[: line.end].rstrip()
        # A model that ends by itself, with all well formed, has repeated nothing.
        is_whole = ended and line.end == len(written) and self._fits(whole)
        for length in _overlaps(line.text.rstrip(), self._behind):
            end = len(whole) - length
            if length < len(self._behind):
                # `f(x)` before `)[0]` may repeat the bracket, or be whole: it is if it may be.
                is_whole = is_whole or self._is_between_lines or self._fits(whole)
            if not is_whole and self._fits(whole[:end]):
                return end
        return None

    def _is_like_next(self, line: _Line) -> bool:
        """Returns whether a line is the first one behind the hole but for its indentation."""
        text = (self._before if line.begin == 0 else "") + line.text
        if not self._lines_behind or text.rstrip() == self._lines_behind[0]:
            return False
        return text.strip() == self._lines_behind[0].strip()

    def _waits(self, written: str, line: _Line) -> bool:
        """Returns whether a line still to come tells if this is the first one behind the hole."""
        # The last one is not whole yet, as more of it may come.
        lines_after = written[line.end + 1 :].split("\n")[:-1]
        return self._is_like_next(line) and not any(text.strip() for text in lines_after)

    def _is_next(self, written: str, line: _Line) -> bool:
        """Returns whether a line is the first one behind the hole.

        With another indentation it is only if the line after it is the second one.
        """
        text = (self._before if line.begin == 0 else "") + line.text
        if self._lines_behind and text.rstrip() == self._lines_behind[0]:
            return True
        if not self._is_like_next(line) or len(self._lines_behind) < 2:
            return False
        after = next((text.strip() for text in written[line.end :].split("\n") if text.strip()), "")
        return after == self._lines_behind[1].strip()

    def _closes(self, written: str, line: _Line) -> bool:
        """Returns whether a line is outside of the function or class that the hole is in."""
        # A blank line closes nothing, and the first one goes on in the line before the hole.
        if not line.text.strip() or (line.begin == 0 and self._before):
            return False
        return _indentation(line.text) <= self._scope(self._depth(written))

    def _leaves(self, written: str, line: _Line) -> bool:
        """Returns whether the text behind the hole would not be reached after a line."""
        if not (self._is_python and self._lines_behind and _LEAVES.match(line.text)):
            return False
        depths = self._depth(written), _indentation(self._lines_behind[0])
        return _indentation(line.text) <= min(depths)

    def _depth(self, written: str) -> int:
        """Returns the indentation of the first line that the fill is in."""
        lines = (self._before + written).split("\n")
        return next((_indentation(text) for text in lines if text.strip()), 0)

    def _scope(self, depth: int) -> int:
        """Returns the indentation of the function or class that a line is in; -1 if in none.

        Args:
          depth: indentation of the line, the first after the prefix.
        """
        enclosing = depth
        # Outwards, from one line of less indentation to the next, until one opens a function or
        # class.
        for text in reversed(self.prefix.split("\n")[:-1]):
            if text.strip() and _indentation(text) < enclosing:
                enclosing = _indentation(text)
                if _OPENS_SCOPE.match(text):
                    return enclosing
        return -1

    def _may_end(self, written: str, line: _Line) -> bool:
        """Returns whether the fill may end with a line: all is well formed then."""
        if _COMMENT.match(line.text):
            return False
        if self.one_line:
            return True
        # A block of Python is over with the line after it alone, as is what has no brackets.
        is_open = self._is_python or is_balanced(self.prefix)
        if is_open and not self.suffix.strip():
            return False
        return self._fits(written[: self._after(written, line)])

    def _fits(self, fill: str) -> bool:
        """Returns whether all is well formed with a fill."""
        if not self._is_python:
            return is_balanced(self.prefix + fill + self.suffix)
        # The lines around the hole that belong together; elsewhere there may be errors.
        begin = _last_top_level(self.prefix)
        end = _first_top_level(self.suffix)
        if parses(self.prefix[begin:] + fill + self.suffix[:end]):
            return True
        return parses(self.prefix + fill + self.suffix)

    def _after(self, written: str, line: _Line) -> int:
        """Returns the length of a fill that ends with a line."""
        return min(line.end + self._is_between_lines, len(written))

    def _until(self, written: str, line: _Line) -> int:
        """Returns the length of a fill that ends before a line, without blank lines between."""
        return self._without_blank_lines(written[: line.begin])

    def _without_blank_lines(self, written: str) -> int:
        length = len(written.rstrip())
        line_end = written.find("\n", length)
        with_line_end = length and line_end >= 0 and self._is_between_lines
        return line_end + 1 if with_line_end else length

    def _best_end(self, written: str, first: _Line | None, *, but_last: bool = False) -> int:
        """Returns the length of the fill in a text that never met what is behind the hole.

        Args:
          written: the text, up to where it is over.
          first: the first line with which the fill may end; None if there is none.
          but_last: whether it may not end with the last line.
        """
        if first is None:
            # Within a line nothing fitted: the line alone is the least.
            line_end = written.find("\n") if self._is_within_line else -1
            return line_end if line_end >= 0 else self._without_blank_lines(written)
        lines = [line for line in _lines(written, last=True) if line.text.strip()]
        after = lines[lines.index(first) + 1 :]
        # From the best to the worst, until one leaves all well formed.
        losses = _losses([line.text for line in after], self._lines_behind)
        ends = [first, *(after[:-1] if but_last else after)]
        # The earliest of equal ones; the first fits, as it was found so.
        for place in np.argsort(losses[: len(ends)], kind="stable"):
            end = self._after(written, ends[place])
            if place == 0 or self._fits(written[:end]):
                return end
        raise AssertionError("the first line fits")


def _losses(lines: Sequence[str], behind: Sequence[str]) -> np.ndarray:
    """Returns for each end of a fill among lines how badly it agrees with the text behind the hole.

    Counted are the lines within the fill that are like lines behind the hole, and those after it
    that are not, in their order.

    Returns:
      int, one more than there are lines: a fill that ends before each, and after the last.
    """
    alike = np.array([[_alike(line, other) for other in behind] for line in lines], bool)
    # NumPy gives an empty list one axis only.
    alike = alike.reshape(len(lines), len(behind))
    repeated = _common(alike)
    # Turned round, beginnings become ends: what each end has in common with the text behind.
    kept = _common(alike[::-1, ::-1])[::-1]
    return repeated + np.arange(len(lines), -1, -1) - kept


def _common(alike: np.ndarray) -> np.ndarray:
    """Returns how many lines two texts have in common, in order: of each beginning of the first.

    Args:
      alike: bool, whether a line of the first text is like one of the second.
    """
    lengths = np.zeros(alike.shape[1] + 1, int)
    found = [0]
    for row in alike:
        # The longest common subsequence, a row of its table at a time.
        extended = np.where(row, lengths[:-1] + 1, lengths[1:])
        lengths = np.concatenate([[0], np.maximum.accumulate(extended)])
        found.append(lengths[-1])
    return np.array(found)


def _alike(line: str, other: str) -> bool:
    if line.strip() == other.strip():
        return True
    if _indentation(line) != _indentation(other):
        return False
    return difflib.SequenceMatcher(None, line.strip(), other.strip(), False).ratio() >= _ALIKE


def _lines(written: str, *, last: bool) -> Iterator[_Line]:
    """Yields the lines of a text; the last one, which has no line end, only if `last`."""
    begin = 0
    for text in written.split("\n"):
        end = begin + len(text)
        if end < len(written) or (last and text):
            yield _Line(begin, end, text)
        begin = end + 1


def _overlaps(line: str, rest: str) -> Iterator[int]:
    """Yields the lengths of the beginnings of `rest` that `line` ends with, the longest first."""
    for length in range(min(len(line), len(rest)), 0, -1):
        if line.endswith(rest[:length]) and rest[:length].strip():
            yield length


def _indentation(line: str) -> int:
    line = line.expandtabs()
    return len(line) - len(line.lstrip())


@functools.lru_cache(maxsize=8)
def _last_top_level(text: str) -> int:
    """Returns where the last line begins that is not indented; 0 if there is none."""
    found = [match.start() for match in re.finditer(r"^(?:@|\w)", text, re.MULTILINE)]
    return found[-1] if found else 0


@functools.lru_cache(maxsize=8)
def _first_top_level(text: str) -> int:
    """Returns where the first line begins, after the first line end, that is not indented."""
    found = re.search(r"\n(?=[@\w])", text)
    return found.end() if found else len(text)
