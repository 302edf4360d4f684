"""The caches of the prompts that were read last, as many as the memory for them holds."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_jax.core.protocols import TextCache


@dataclasses.dataclass(frozen=True)
class Reading:
    """A prompt that was read.

    Attributes:
      tokens: the prompt.
      logits: those after it.
      cache: its cache, of one row; it may hold more than the prompt behind its end.
    """

    tokens: list[int]
    logits: Float[Array, "1 V"]
    cache: TextCache


class Readings:
    """The prompts that were read last.

    Attributes:
      most_bytes: memory that they may take together; the last one is kept in any case.
    """

    def __init__(self, most_bytes: int):
        """Begins without any."""
        self.most_bytes = most_bytes
        self._kept: list[Reading] = []

    def find(self, tokens: list[int], room: int) -> Reading | None:
        """Returns the reading of an equal prompt with the same room, or None."""
        for one in self._kept:
            if one.tokens == tokens and one.cache.room == room:
                # To the end, where the one used last stands.
                self._remove(one)
                self._kept.append(one)
                return one
        return None

    def take(self, tokens: list[int], room: int) -> Reading | None:
        """Returns the reading that begins most like a prompt, for the caller to change, or None.

        It is no longer kept if the prompt is likely to be its next state, as it shares half of its
        tokens or more; else it is copied, as for a second file beside the first.
        """
        # The last used first, which wins over others as good.
        fitting = [one for one in reversed(self._kept) if one.cache.room == room]
        best = max(fitting, key=lambda one: common(one.tokens, tokens), default=None)
        if best is None or not common(best.tokens, tokens):
            return None
        if 2 * common(best.tokens, tokens) >= len(best.tokens):
            self._remove(best)
            return best
        return dataclasses.replace(best, cache=jax.tree.map(jnp.copy, best.cache))

    def keep(self, reading: Reading) -> None:
        """Keeps a reading; those unused for longest go, as far as the memory asks for it."""
        self._kept.append(reading)
        while len(self._kept) > 1 and sum(map(_bytes, self._kept)) > self.most_bytes:
            del self._kept[0]

    def _remove(self, reading: Reading) -> None:
        self._kept = [one for one in self._kept if one is not reading]


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """Returns how many tokens two texts begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _bytes(reading: Reading) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(reading.cache))
