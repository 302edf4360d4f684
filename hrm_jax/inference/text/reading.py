"""Reads prompts into caches, one after the other; what one begins with that is known is not read.

Where the weights are quantised and the kernels in C++ multiply them, a token's states are the same
to the bit however many are read at once. So prompts are read in chunks of a few sizes there, and a
result does not depend on what was read before. Elsewhere each prompt is read whole.

What stands behind a change is read again, as its states depend on what is before it. A reader that
is to reuse it all the same (`reuse_shifted`) turns its keys to their new places: the result is then
near that of reading, and no longer equal to it.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import hrm_kernels
from hrm_jax.core.config import check
from hrm_jax.core.protocols import LanguageModel, TextCache
from hrm_jax.core.types import Variables
from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text.buckets import LEAST, bucket
from hrm_jax.inference.text.prefixes import Reading, Readings, common
from hrm_jax.models.llama import Llama
from hrm_jax.nn.quantized import QuantizedWeights

CHUNKS = (512, 64, 16, 8)
"""Numbers of tokens that are read at once, each by a program of its own. On CPU reading takes time
for each token of a chunk, those that only fill it up included."""
KNOWN_BYTES = 1 << 28
"""Memory for the caches of known prompts by default: five of 2,048 tokens of a model of 0.5B."""
_RENEWED = 16
"""Tokens that are read again at both ends of what is reused, at least: the first are nearest to
what has changed, and what is written next goes on from the last."""
_FILLED = CHUNKS[1]
"""What is read before it is a multiple of this: such a chunk takes as long as two smaller ones.
Reusing fewer tokens would save no time."""


class PromptReader:
    """Reads prompts with one model, and keeps the last caches."""

    def __init__(
        self,
        model: LanguageModel,
        variables: Variables,
        *,
        prompts_are_prefixes: bool,
        known_bytes: int = KNOWN_BYTES,
        reuse_shifted: bool = False,
    ):
        """Stores the settings.

        Args:
          model: the model.
          variables: its values.
          prompts_are_prefixes: as in `Writer`; so are `known_bytes` and `reuse_shifted`.
          known_bytes: memory for the caches of known prompts.
          reuse_shifted: whether what is behind a change is reused too.

        Raises:
          ConfigError: it is to be, and prompts are always read whole.
        """
        self.model = model
        self.variables = variables
        self._are_prefixes = prompts_are_prefixes
        self._in_chunks = not prompts_are_prefixes and is_exact(model, variables)
        check(
            self._in_chunks or not reuse_shifted,
            "reuse_shifted",
            expected="prompts that are read in parts: quantised weights of Llama's family on CPU, "
            "with a C++ compiler, and prompts that are no prefixes",
            got="prompts that are always read whole",
            remedy="leave it out",
        )
        self._reuse_shifted = reuse_shifted
        self._readings = Readings(known_bytes)

    def usual_lengths(self, most: int) -> list[int]:
        """Returns lengths of prompts that are read by all programs there are for `most` tokens."""
        if self._in_chunks:
            return [min(sum(CHUNKS), most)]
        lengths = [min(LEAST, most)]
        while lengths[-1] < most:
            lengths.append(min(bucket(lengths[-1] + 1), most))
        return lengths

    def read(self, tokens: list[int], room: int) -> tuple[Float[Array, "1 V"], TextCache]:
        """Returns the logits after a prompt, and its cache with room for `room` tokens.

        The cache is lent until the next call, which may donate it.

        Args:
          tokens: the prompt, one token or more.
          room: tokens of the prompt and of what is written after it, at most.
        """
        for _ in self.parts(tokens, room):
            pass
        # `parts` kept it just now.
        reading = self._readings.find(tokens, room)
        assert reading is not None
        return reading.logits, reading.cache

    def parts(
        self, tokens: list[int], room: int, at_once: int = CHUNKS[0]
    ) -> Generator[None, None, None]:
        """Reads a prompt in parts, so that something else can be done between them but read.

        After the last one `read` returns at once. If the iterator is closed before, what was read
        so far is kept as the beginning of other prompts.

        Args:
          tokens: the prompt, as in `read`.
          room: as in `read`.
          at_once: tokens of a part at most, one of `CHUNKS`; where prompts are read whole, that is
            the one part.
        """
        if self._readings.find(tokens, room) is not None:
            return
        # Whole: parts would round otherwise, and a prefix's tokens would not all see each other.
        if not self._in_chunks:
            self._readings.keep(self._prefill(tokens, room))
            yield
            return
        reading = None
        try:
            for one in self._extend(tokens, room, at_once):
                reading = one
                yield
        # Closed between two parts.
        except GeneratorExit:
            if reading is not None:
                self._readings.keep(reading)
            raise
        assert reading is not None
        self._readings.keep(reading)

    def _prefill(self, tokens: list[int], room: int) -> Reading:
        prompt = device.padded_prompt(tokens, bucket(len(tokens)), are_prefix=self._are_prefixes)
        return Reading(list(tokens), *device.read(self.model, self.variables, *prompt, room=room))

    def _extend(self, tokens: list[int], room: int, at_once: int) -> Iterator[Reading]:
        # Until all is read there is nothing to go on from, should reading be interrupted.
        known = self._readings.take(tokens, room)
        if known is None:
            yield from self._read_on(device.empty_cache(self.model, room), tokens, 0, at_once)
            return
        # The last token is read in any case, for the logits after it.
        shared = common(known.tokens, tokens[:-1])
        if self._reuse_shifted:
            begin, end = unchanged(known.tokens, tokens, shared)
            if end - begin >= _FILLED:
                yield from self._read_around(known, tokens, shared, begin, end, at_once)
                return
        yield from self._read_on(known.cache, tokens, shared, at_once)

    def _read_around(
        self,
        known: Reading,
        tokens: list[int],
        shared: int,
        begin: int,
        end: int,
        at_once: int,
    ) -> Iterator[Reading]:
        """Reads a prompt but for its first tokens and those from `begin` to `end`."""
        # A copy, as reading writes over what is behind the first tokens.
        cache = jax.tree.map(jnp.copy, known.cache)
        for reading in self._read_on(cache, tokens[:begin], shared, at_once):
            yield reading
            cache = reading.cache
        # The part is as far from the end in both prompts.
        by = len(tokens) - len(known.tokens)
        cache = device.splice(self.model, cache, known.cache, begin, end, by)
        yield from self._read_on(cache, tokens, end, at_once)

    def _read_on(
        self, cache: TextCache, tokens: list[int], known: int, at_once: int
    ) -> Iterator[Reading]:
        """Reads all tokens but the first `known`, which the cache holds; yields what is read.

        The cache of what is yielded is donated to what comes next.
        """
        while known < len(tokens):
            chunk = min(chunk_of(len(tokens) - known), at_once)
            part = tokens[known : known + chunk]
            # The last part may be shorter than its chunk; `extend` leaves the rest out.
            padded = np.zeros((1, chunk), np.int32)
            padded[0, : len(part)] = part
            # The cache may hold more than is known, from another prompt's end.
            logits, cache = device.extend(
                self.model,
                self.variables,
                padded,
                device.with_lengths(cache, known),
                np.array([len(part)], np.int32),
            )
            known += len(part)
            yield Reading(tokens[:known], logits, cache)


def unchanged(known: Sequence[int], tokens: Sequence[int], shared: int) -> tuple[int, int]:
    """Returns which tokens of a prompt stand in another one too, behind a change.

    Args:
      known: the other prompt.
      tokens: the prompt.
      shared: number of tokens that both begin with.

    Returns:
      The first token, and the first one behind; fewer tokens than both end with, as some at either
      end are read again (`_RENEWED`). None if the first is not less than the second.
    """
    # Backwards from both ends, and behind what both begin with, so that no token counts twice.
    alike = common(known[shared:][::-1], tokens[shared:][::-1])
    changed = len(tokens) - alike - shared
    chunks = -(-(changed + _RENEWED) // _FILLED)
    return shared + chunks * _FILLED, len(tokens) - _RENEWED


def chunk_of(length: int) -> int:
    """Returns the least of the last two `CHUNKS` that holds `length` tokens, or the largest of all
    that they fill.
    """
    holding = [size for size in CHUNKS[-2:] if size >= length]
    return holding[-1] if holding else next(size for size in CHUNKS if size <= length)


def is_exact(model: LanguageModel, variables: Variables) -> bool:
    """Returns whether a token's states do not depend on how many are computed at once.

    The kernels in C++ sum every row in one order; XLA's products of matrices and norms do not. Of
    the families only Llama has no others.
    """
    weights = jax.tree.leaves(variables.params, is_leaf=_is_quantised)
    products = [leaf for leaf in weights if _is_quantised(leaf) or leaf.ndim > 1]
    is_ours = all(map(_is_quantised, products)) and hrm_kernels.rows_are_independent()
    return is_ours and isinstance(model, Llama)


def _is_quantised(leaf: Any) -> bool:
    return isinstance(leaf, QuantizedWeights)
