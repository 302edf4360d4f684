"""Reads prompts into caches, one after the other; what two neighbours begin with is read once.

Where the weights are quantised and the kernels in C++ multiply them, a token's states are the same
to the bit however many are read at once. So prompts are read in chunks of a few sizes there, and a
result does not depend on what was read before. Elsewhere each prompt is read whole.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

import hrm_kernels
from hrm_jax.core.protocols import LanguageModel, TextCache
from hrm_jax.core.types import Variables
from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text.buckets import bucket
from hrm_jax.models.llama import Llama
from hrm_jax.nn.quantized import QuantizedWeights

CHUNKS = (512, 64, 16)
"""Numbers of tokens that are read at once, each by a program of its own."""


class PromptReader:
    """Reads prompts with one model, and keeps the last one's cache."""

    def __init__(self, model: LanguageModel, variables: Variables, *, prompts_are_prefixes: bool):
        """Stores the settings; `prompts_are_prefixes` as in `Writer`."""
        self._model = model
        self._variables = variables
        self._are_prefixes = prompts_are_prefixes
        self._in_chunks = not prompts_are_prefixes and is_exact(model, variables)
        self._tokens: list[int] = []
        self._room = 0
        self._read: tuple[Float[Array, "1 V"], TextCache] | None = None

    def read(self, tokens: list[int], room: int) -> tuple[Float[Array, "1 V"], TextCache]:
        """Returns the logits after a prompt, and its cache with room for `room` tokens.

        The cache is lent until the next call, which may donate it.

        Args:
          tokens: the prompt, one token or more.
          room: tokens of the prompt and of what is written after it, at most.
        """
        is_same = tokens == self._tokens and room == self._room
        if self._read is None or not is_same:
            if self._in_chunks:
                self._read = self._extend(tokens, room)
            else:
                self._read = self._prefill(tokens, room)
            self._tokens = tokens
            self._room = room
        return self._read

    def _prefill(self, tokens: list[int], room: int) -> tuple[Array, TextCache]:
        prompt = device.padded_prompt(tokens, bucket(len(tokens)), are_prefix=self._are_prefixes)
        return device.read(self._model, self._variables, *prompt, room=room)

    def _extend(self, tokens: list[int], room: int) -> tuple[Array, TextCache]:
        shared = 0
        if self._read is not None and room == self._room:
            # The last token is read in any case, for the logits after it.
            shared = _common(self._tokens, tokens[:-1])
        if self._read is not None and shared:
            cache = self._read[1]
        else:
            cache = device.empty_cache(self._model, room)
        # Until all is read there is nothing to go on from, should reading be interrupted.
        self._read = None
        logits = None
        while shared < len(tokens):
            chunk = chunk_of(len(tokens) - shared)
            part = tokens[shared : shared + chunk]
            padded = np.zeros((1, chunk), np.int32)
            padded[0, : len(part)] = part
            logits, cache = device.extend(
                self._model,
                self._variables,
                padded,
                device.with_lengths(cache, shared),
                np.array([len(part)], np.int32),
            )
            shared += len(part)
        assert logits is not None
        return logits, cache


def chunk_of(length: int) -> int:
    """Returns the largest of `CHUNKS` that `length` tokens fill, or the smallest of all."""
    return next((size for size in CHUNKS if size <= length), CHUNKS[-1])


def _common(first: list[int], second: list[int]) -> int:
    """Returns how many tokens two lists begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


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
