"""Fills a hole once more that would stay empty, where it cannot be empty.

A model that takes a text for whole writes what stands behind the hole, or ends at once. Where the
text is not whole, its first token that is not white space is taken back, and another is drawn.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from hrm_jax.inference.text.healing import Vocabulary


class Refill:
    """What was written for one hole, and what may not come again.

    Attributes:
      tokens: what was written, but for what was taken back.
      refused: whether the last tokens were. The device has to be set back to `tokens`, and to draw
        by `allowed`.
    """

    def __init__(self, vocabulary: Vocabulary, end_tokens: Sequence[int], owed: bytes = b""):
        """Begins an empty text.

        Args:
          vocabulary: the texts of the tokens that may be drawn.
          end_tokens: the tokens that end a text.
          owed: the bytes that the first tokens repeat from the prompt.
        """
        self.tokens: list[int] = []
        self.refused = False
        self._vocabulary = vocabulary
        self._ends = list(end_tokens)
        self._owed = len(owed)
        self._place: int | None = None
        self._forbidden: list[int] = []

    def add(self, tokens: Sequence[int]) -> None:
        """Takes note of what was written."""
        self.refused = False
        self.tokens += tokens

    def refuse(self) -> bool:
        """Takes all back from the first token on that says something; returns False if it was."""
        if self._place is not None:
            return False
        self._place = self._first()
        token = self.tokens[self._place]
        # A text ends by any of these tokens, so all of them are refused.
        self._forbidden = self._ends if token in self._ends else [token]
        del self.tokens[self._place :]
        self.refused = True
        return True

    def allowed(self) -> Bool[np.ndarray, " V"] | None:
        """Returns which tokens may be drawn next; None for all."""
        # Only at that place: with a token there, all may come again.
        if self._place != len(self.tokens):
            return None
        every = np.ones(len(self._vocabulary.texts), bool)
        every[[token for token in self._forbidden if token < len(every)]] = False
        return every

    def _first(self) -> int:
        """Returns the place of the first token that is not white space, or of the last token."""
        length = 0
        for place, token in enumerate(self.tokens):
            text = self._vocabulary.texts[token] if token < len(self._vocabulary.texts) else b""
            length += len(text)
            # Bytes that repeat the prompt's end are nothing new.
            new = text[-(length - self._owed) :] if length > self._owed else b""
            if new.strip() or token in self._ends:
                return place
        return len(self.tokens) - 1
