"""Turns tokens into text as they come, across characters and stop sequences that tokens split.

What fills a hole is returned as far as it surely does (`data.text.holes`).
"""

import codecs
from collections.abc import Sequence

from hrm_jax.core.protocols import Tokenizer
from hrm_jax.data.text.holes import Hole


class Transcript:
    """The text of one completion, returned as far as it is certain.

    A character is returned when its last byte has come. What may be the beginning of a stop
    sequence is held back until it is clear that it is not. The stop sequence that is complete first
    ends the text; if several end at the same character, the longest counts. The result does not
    depend on how the text is cut into tokens.

    Attributes:
      stopped: whether a stop sequence has ended the text; later tokens are ignored.
      skip: number of the next bytes that are no part of the text.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = (), skip: int = 0):
        """Begins an empty text.

        Args:
          tokenizer: the tokenizer of the tokens to come.
          stop: the stop sequences.
          skip: number of first bytes that are no part of the text.

        Raises:
          ValueError: for an empty stop sequence.
        """
        if "" in stop:
            raise ValueError("expected stop sequences of a character or more, got ''; leave it out")
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._owed = skip
        self.begin()

    def begin(self) -> None:
        """Begins the text anew."""
        self.stopped = False
        self.skip = self._owed
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def size_of(self, token: int) -> int:
        """Returns how many bytes a token adds to a text."""
        return len(self._tokenizer.token_bytes(token))

    def add(self, tokens: Sequence[int]) -> str:
        """Adds tokens; returns the new text that is now certain."""
        data = b"".join(map(self._tokenizer.token_bytes, tokens))
        # The bytes that repeat the prompt's end, however many calls they come in.
        new = data[self.skip :]
        self.skip -= len(data) - len(new)
        return self._add(new, final=False)

    def finish(self) -> str:
        """Ends the text; returns what was held back, with a broken character as U+FFFD."""
        text = self._add(b"", final=True) + self._held
        self._held = ""
        return text

    def _add(self, data: bytes, final: bool) -> str:
        if self.stopped:
            return ""
        text = self._held + self._decoder.decode(data, final)
        # The earliest end wins, and of equal ends the smallest negative length, which is the
        # longest.
        found = [(text.find(stop) + len(stop), -len(stop)) for stop in self._stop if stop in text]
        if found:
            self.stopped = True
            self._held = ""
            end, length = min(found)
            return text[: end + length]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        certain = len(text) - held
        self._held = text[certain:]
        return text[:certain]


class Filling:
    """The text of one completion that fills a hole, returned as far as it is certain.

    Attributes:
      over: whether the hole is filled; later text is ignored.
    """

    def __init__(self, hole: Hole):
        """Begins an empty text for a hole."""
        self._hole = hole
        self.begin()

    def begin(self) -> None:
        """Begins the text anew."""
        self.over = False
        self._written = ""
        self._returned = 0

    @property
    def is_whole(self) -> bool:
        """Whether something but white space was returned, or nothing has to be."""
        return bool(self._written[: self._returned].strip()) or self._hole.may_be_empty

    def add(self, text: str, *, ended: bool = False, cut: bool = False) -> str:
        """Adds text; returns the new text that surely fills the hole.

        Args:
          text: the next part of what is written.
          ended: whether what is written is complete.
          cut: whether it is over, but not complete.
        """
        self._written += text
        # What is certain changes with a line alone.
        if self.over or not ("\n" in text or ended or cut):
            return ""
        length, self.over = self._hole.measure(self._written, ended=ended, cut=cut)
        new = self._written[self._returned : length]
        self._returned = max(self._returned, length)
        return new


def _overlap(text: str, stop: str) -> int:
    """Returns the length of the longest end of `text` with which `stop`, being longer, begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
