"""Token healing: a prompt ends where a person stopped, which is often within a token.

A model has hardly seen `retu` followed by `rn`, as its tokenizer writes ` return` as one token. So
the last tokens of a prompt are taken back, and the first tokens that are written have to begin with
their text: each is a piece of it, or begins with what is left of it.

The constraint is applied on the device, from a table of the vocabulary's bytes: it needs no program
of its own, and no exchange with the host between two tokens. In shapes, W is `MOST_OWED`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, UInt8

MOST_OWED = 32
"""Largest number of bytes that are taken back; also the bytes of a token that the table holds."""
_MOST_TAKEN = 8


class Healed(NamedTuple):
    """The tokens of a prompt without its last ones, and the text of those.

    Attributes:
      tokens: what the model reads.
      owed: the bytes with which the text that it writes has to begin.
      taken: number of tokens taken back.
    """

    tokens: list[int]
    owed: bytes = b""
    taken: int = 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pieces:
    """The bytes of every token, on the device.

    Attributes:
      text: uint8, the first W bytes, then zeros.
      lengths: int32, the number of all bytes; 0 for special tokens.
    """

    text: UInt8[Array, "V W"]
    lengths: Int32[Array, " V"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Owed:
    """What the next tokens of each row have to begin with.

    Attributes:
      text: uint8, the bytes; arbitrary from `length` on.
      length: int32, how many there are; 0 where any token may follow.
      spare: int32, how many tokens may spell the text without counting as written.
    """

    text: UInt8[Array, "B W"]
    length: Int32[Array, " B"]
    spare: Int32[Array, " B"]

    @classmethod
    def of(cls, text: bytes = b"", spare: int = 0, rows: int = 1) -> Self:
        """Returns `rows` rows that owe the same text, of at most `MOST_OWED` bytes."""
        padded = np.frombuffer(text.ljust(MOST_OWED, b"\0"), np.uint8)
        return cls(
            jnp.tile(jnp.asarray(padded), (rows, 1)),
            jnp.full(rows, len(text), jnp.int32),
            jnp.full(rows, spare, jnp.int32),
        )


class Debt(NamedTuple):
    """What a text owes after some tokens.

    Attributes:
      text: the bytes with which the next token has to begin.
      spare: number of tokens that may spell them without counting as written.
      counted: number of tokens that count as written.
    """

    text: bytes
    spare: int
    counted: int


def debt(prompt: Healed, lengths: Sequence[int]) -> Debt:
    """Returns what is still owed after tokens of so many bytes, as `pay` finds it on the device."""
    owed = prompt.owed
    spare = prompt.taken
    counted = 0
    for length in lengths:
        # A token does not count if it only spells what was taken back while `spare` lasts.
        counts = not owed or length > len(owed) or spare == 0
        counted += counts
        spare -= not counts
        owed = owed[length:]
    return Debt(owed, spare, counted)


class Vocabulary:
    """The bytes of all tokens that may be drawn: what can be taken back, what may come instead.

    Attributes:
      texts: the bytes of every token.
    """

    def __init__(self, pieces: Sequence[bytes]):
        """Takes the bytes of every token; special ones have none."""
        self.texts = pieces
        # NumPy cuts longer ones to this width and fills shorter ones with zeros.
        cut = np.array(pieces, f"S{MOST_OWED}")
        self._text = cut.view(np.uint8).reshape(len(pieces), MOST_OWED)
        self._lengths = np.array([len(piece) for piece in self.texts], np.int32)
        self._bytes = {piece for piece in self.texts if len(piece) == 1}

    @functools.cached_property
    def pieces(self) -> Pieces:
        """The table on the device."""
        return Pieces(jnp.asarray(self._text), jnp.asarray(self._lengths))

    def take_back(self, tokens: Sequence[int], keep: int = 0) -> Healed:
        """Takes the last tokens back, as many as could be the beginning of a longer one.

        These are the most whose text is the beginning of another token, of `MOST_OWED` bytes and 8
        tokens at most. Special tokens stay, and what is before them.

        Args:
          tokens: the tokens of a text.
          keep: number of first tokens that stay in any case.
        """
        text = b""
        best = Healed(list(tokens))
        last = tokens[keep:][-_MOST_TAKEN:]
        for taken, token in enumerate(reversed(last), 1):
            piece = self.texts[token] if token < len(self.texts) else b""
            text = piece + text
            if not piece or len(text) > MOST_OWED:
                break
            if self._begins_another(text):
                best = Healed(list(tokens[:-taken]), text, taken)
        # Without a token for each of its bytes, some ways to spell the text would lead nowhere.
        spelled = all(best.owed[i : i + 1] in self._bytes for i in range(len(best.owed)))
        return best if spelled else Healed(list(tokens))

    def beginning_with(self, text: bytes) -> Bool[np.ndarray, " V"]:
        """Returns which tokens begin with a text of 1 to `MOST_OWED` bytes."""
        wanted = np.frombuffer(text, np.uint8)
        equal = (self._text[:, : len(text)] == wanted).all(1)
        # A shorter token's zeros equal those that a text may hold.
        return equal & (self._lengths >= len(text))

    def _begins_another(self, text: bytes) -> bool:
        """Returns whether a token is longer than `text` and begins with it."""
        # By the first byte alone first, as few tokens are left after it.
        found = np.flatnonzero(self._text[:, 0] == text[0])
        longer = found[self._lengths[found] > len(text)]
        wanted = np.frombuffer(text, np.uint8)
        return bool((self._text[longer, : len(text)] == wanted).all(1).any())


def restrict(logits: Float[Array, "B V"], owed: Owed, pieces: Pieces) -> Float[Array, "B V"]:
    """Returns the logits, with -inf for tokens that may not come next in their row."""

    def restricted() -> Float[Array, "B V"]:
        return jnp.where(_allowed(owed, pieces), logits, -jnp.inf)

    # The comparison passes over [B, V, W]: skipped when no row owes any text.
    return jax.lax.cond((owed.length > 0).any(), restricted, lambda: logits)


def _allowed(owed: Owed, pieces: Pieces) -> Bool[Array, "B V"]:
    """Returns which tokens begin with the text that a row owes, or with which it begins."""
    # Compared as far as both go.
    compared = jnp.minimum(owed.length[:, None], pieces.lengths[None])
    equal = owed.text[:, None, :] == pieces.text[None]
    beyond = jnp.arange(MOST_OWED)[None, None] >= compared[..., None]
    # A special token has no text, so nothing of it is compared.
    spells = (equal | beyond).all(-1) & (pieces.lengths > 0)[None]
    return spells | (owed.length == 0)[:, None]


def pay(owed: Owed, tokens: Int[Array, " B"], pieces: Pieces) -> tuple[Owed, Bool[Array, " B"]]:
    """Returns what is still owed after a token, and whether the token counts as written.

    It does not count if it only spells what was taken back, as often as `spare` says.
    """
    lengths = pieces.lengths[tokens]
    counts = (owed.length == 0) | (lengths > owed.length) | (owed.spare == 0)
    # What enters at the end lies beyond the length that is left.
    shifted = jax.vmap(lambda text, length: jnp.roll(text, -length))(owed.text, lengths)
    left = jnp.maximum(owed.length - lengths, 0)
    return Owed(shifted, left, owed.spare - ~counts), counts
