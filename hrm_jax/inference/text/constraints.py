"""Constraints on what is written: which tokens stay, and what may come instead of the others.

A constraint gives the rules of one text, functions of the bytes written so far. Rules that know
which tokens may come next are asked before each, and the device draws among them. Rules that can
only judge what was written are asked afterwards: the device writes several tokens, the first one
that is not allowed is taken back with all after it, and another is drawn in its place. Both draw
the same tokens, as `sampling.sample` puts all tokens into an order that does not depend on what is
allowed.
"""

import codecs
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool

from hrm_jax.core.errors import UserError
from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.healing import MOST_OWED, Vocabulary

_MOST_REFUSED = 8
"""Largest number of tokens that are refused at one place before an earlier one is."""


class ConstraintError(UserError, ValueError):
    """A constraint cannot be kept at all, or not after this prompt."""


class Rules(Protocol):
    """What one text may be. All bytes are those after the prompt."""

    def is_viable(self, text: bytes) -> bool:
        """Returns whether a text may begin so. It may end within a character."""
        ...

    def is_complete(self, text: bytes) -> bool:
        """Returns whether a text may end so."""
        ...

    def next_tokens(self, text: bytes) -> Bool[np.ndarray, " V"] | None:
        """Returns which tokens leave a text viable; None where only `is_viable` can tell."""
        ...

    def certain(self, text: bytes) -> int:
        """Returns how many first bytes of a text stay if no more of it comes."""
        ...


class Constraint(Protocol):
    """A constraint on texts, such as a language."""

    def rules(self, prompt: Prompt, vocabulary: Vocabulary) -> Rules:
        """Returns the rules of a text after a prompt; raises ConstraintError if there is none."""
        ...


class Guard:
    """Keeps one text within its rules.

    Attributes:
      tokens: the tokens that stay.
      text: the bytes that they add to the prompt, up to a stop sequence.
      ending: why the text is over; None if it is not. "length" if too many tokens were refused.
      refused: whether the last tokens given to `add` did not all stay. The device has to be set
        back to `tokens`, and to draw by `allowed`.
    """

    def __init__(
        self,
        rules: Rules,
        vocabulary: Vocabulary,
        end_tokens: Sequence[int],
        *,
        stop: Sequence[str] = (),
        owed: bytes = b"",
        budget: int = 256,
    ):
        """Begins an empty text.

        Args:
          rules: of this text.
          vocabulary: the texts of the tokens that may be drawn.
          end_tokens: the tokens that end a text.
          stop: texts that end it too; each is viable where the text before it is complete.
          owed: the bytes that the first tokens repeat from the prompt.
          budget: number of tokens that are refused at most, before the text is given up.
        """
        self.tokens: list[int] = []
        self.ending: Literal["end", "stop", "length"] | None = None
        self.refused = False
        self._rules = rules
        self._vocabulary = vocabulary
        self._ends = frozenset(end_tokens)
        self._stop = [one.encode() for one in stop]
        self._owed = owed
        self._budget = budget
        self._written = b""
        # Of each token, the number of bytes before it.
        self._begins: list[int] = []
        self._forbidden: dict[int, Bool[np.ndarray, " V"]] = {}
        self._refusals: dict[int, int] = {}
        self._certain = 0
        self._given = 0
        # Text is given out in whole characters; the decoder keeps the beginning of one for later.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        # How many tokens the next dead end takes back.
        self._back = 1

    @property
    def text(self) -> bytes:
        """The bytes that the tokens add to the prompt, up to a stop sequence."""
        return self._written[len(self._owed) :]

    @property
    def owed_bytes(self) -> int:
        """Bytes of the prompt's end that the tokens to come have to repeat."""
        return max(0, len(self._owed) - len(self._written))

    def add(self, tokens: Sequence[int]) -> str:
        """Adds tokens as far as they may come; returns the new text that is now certain."""
        self.refused = False
        for token in tokens:
            if self.ending is not None:
                break
            if not self._take(token):
                self._refuse(token)
                self.refused = self.ending is None
                break
        # Where rules allow no further token, the text is over without a token that ends it.
        if self.ending is None and self._owes_nothing:
            known = self._rules.next_tokens(self.text)
            if known is not None and not known.any():
                self.ending = "end" if self._rules.is_complete(self.text) else "length"
        return self._give()

    def finish(self) -> tuple[str, int]:
        """Ends the text for its length; returns the rest of it, and how many bytes are left out."""
        self.ending = "length"
        # What is certain or was given out stays; the rest was viable only if more had come.
        left_out = len(self.text) - max(self._certain, self._given)
        return self._give(), max(left_out, 0)

    def allowed(self) -> Bool[np.ndarray, " V"] | None:
        """Returns which tokens may be drawn next; None for all that the model may draw."""
        forbidden = self._forbidden.get(len(self.tokens))
        known = self._known()
        if known is None:
            return None if forbidden is None else ~forbidden
        # A copy, as the rules may keep what they return.
        known = known.copy()
        if self._owes_nothing and self._rules.is_complete(self.text):
            # A model's end tokens may lie beyond the vocabulary.
            known[[token for token in self._ends if token < len(known)]] = True
        return known if forbidden is None else known & ~forbidden

    @property
    def _owes_nothing(self) -> bool:
        return len(self._written) >= len(self._owed)

    def _known(self) -> Bool[np.ndarray, " V"] | None:
        """Returns which tokens leave the text viable, if the rules know."""
        known = self._rules.next_tokens(self.text)
        if known is None or self._owes_nothing:
            return known
        # A token repeats a part of the prompt's end, or all that is left of it and goes on.
        owed = self._owed[len(self._written) :]
        texts = self._vocabulary.texts
        known = np.array([bool(text) and owed.startswith(text) for text in texts])
        for token in np.flatnonzero(self._vocabulary.beginning_with(owed)).tolist():
            known[token] = self._rules.is_viable(texts[token][len(owed) :])
        return known

    def _take(self, token: int) -> bool:
        """Adds a token if it may come; returns whether it may."""
        if token in self._ends:
            if not (self._owes_nothing and self._rules.is_complete(self.text)):
                return False
            self._keep(token, b"")
            self.ending = "end"
            return True
        added = self._vocabulary.texts[token]
        # Special tokens have no text.
        if not added:
            return False
        written = self._written + added
        text = written[len(self._owed) :]
        stop = self._stopped(text)
        if stop is not None:
            # The stop sequence is no part of the text, which has to be complete before it.
            if not self._rules.is_complete(text[:stop]):
                return False
            self._keep(token, added)
            self._written = written[: len(self._owed) + stop]
            self.ending = "stop"
            return True
        if not self._may_begin(text):
            return False
        self._keep(token, added)
        # It never becomes less, as it may have been given out.
        self._certain = max(self._certain, self._rules.certain(text))
        # With a line done, the next dead end takes back a single token again.
        if b"\n" in added:
            self._back = 1
        return True

    def _keep(self, token: int, added: bytes) -> None:
        self._begins.append(len(self._written))
        self.tokens.append(token)
        self._written += added

    def _stopped(self, text: bytes) -> int | None:
        """Returns where the stop sequence begins that is complete first, the longest of equals."""
        # End and negative length of each, so that the longest of equals wins; their sum is the
        # beginning.
        found = [(text.find(one) + len(one), -len(one)) for one in self._stop if one in text]
        return sum(min(found)) if found else None

    def _may_begin(self, text: bytes) -> bool:
        """Returns whether a text is viable, or complete but for a stop sequence that begins."""
        if self._rules.is_viable(text):
            return True
        return any(self._rules.is_complete(text[:-length]) for length in self._begun(text))

    def _begun(self, text: bytes) -> set[int]:
        """Returns the lengths of the ends of a text with which a stop sequence begins."""
        return {
            length
            for stop in self._stop
            for length in range(1, len(stop))
            if text.endswith(stop[:length])
        }

    def _refuse(self, token: int) -> None:
        """Forbids a token at this place, or where nothing leads on, one before."""
        place = len(self.tokens)
        self._budget -= 1
        self._refusals[place] = self._refusals.get(place, 0) + 1
        forbidden = self._forbidden.get(place)
        # Nothing else may come here, or nothing was found that may.
        is_last = forbidden is not None and forbidden[token]
        if is_last or self._refusals[place] > _MOST_REFUSED:
            self._go_back()
        else:
            self._forbid(place, self._alike(token))
        if self._budget <= 0:
            self.ending = "length"

    def _alike(self, token: int) -> Bool[np.ndarray, " V"]:
        """Returns a refused token, and those that begin with what is wrong in it."""
        added = self._vocabulary.texts[token]
        alike = np.arange(len(self._vocabulary.texts)) == token
        if token in self._ends:
            return alike
        # Its shortest beginning that may not come is as wrong in all tokens that share it.
        for length in range(1, min(len(added), MOST_OWED) + 1):
            text = (self._written + added[:length])[len(self._owed) :]
            if not self._may_begin(text):
                return alike | self._vocabulary.beginning_with(added[:length])
        return alike

    def _forbid(self, place: int, tokens: Bool[np.ndarray, " V"]) -> None:
        self._forbidden[place] = self._forbidden.get(place, False) | tokens

    def _go_back(self) -> None:
        """Takes tokens back that nothing may follow, twice as many each time, and forbids them.

        What is certain stays: it may have been given out.
        """
        # Until something is certain, tokens that repeat the prompt can be taken back too.
        certain = len(self._owed) + self._certain if self._certain else 0
        places = [i for i, begin in enumerate(self._begins) if begin >= certain]
        if not places:
            self.ending = "length"
            return
        place = max(len(self.tokens) - self._back, places[0])
        self._back *= 2
        forbidden = np.arange(len(self._vocabulary.texts)) == self.tokens[place]
        self._written = self._written[: self._begins[place]]
        del self.tokens[place:]
        del self._begins[place:]
        # What was forbidden behind this place was so after tokens that are gone.
        self._forbidden = {i: old for i, old in self._forbidden.items() if i <= place}
        self._refusals = {i: old for i, old in self._refusals.items() if i <= place}
        self._refusals[place] = self._refusals.get(place, 0) + 1
        self._forbid(place, forbidden)

    def _give(self) -> str:
        """Returns the text that was not given yet, as far as it is certain."""
        text = self.text
        is_whole = self.ending in ("end", "stop")
        end = len(text) if is_whole else min(self._certain, len(text))
        # An end that may become a stop sequence is held back.
        if self.ending is None:
            end = min(end, len(text) - max(self._begun(text), default=0))
        new = text[self._given : end]
        self._given = max(self._given, end)
        return self._decoder.decode(new, self.ending is not None)
