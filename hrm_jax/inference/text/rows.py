"""The device's half of writing: a batch of texts, and the compiled programs that carry them on.

A prompt is read alone (`read`) and put into a free row (`enter`); all rows are then continued
together (`write`), some tokens at a time. Each program is compiled once for each bucket of prompt
length, room and batch, and never for a token.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from hrm_jax.core.protocols import LanguageModel, TextCache
from hrm_jax.core.types import Variables
from hrm_jax.inference.text.sampling import Draws, SamplingConfig, sample

NO_TOKEN = -1
MOST_TOKENS = 32
"""Tokens of a row that one call of `write` can add."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """B texts being written.

    Attributes:
      cache: of all rows; their last token is not in it yet.
      tokens: int32, the last token of each.
      left: int32, tokens still to be written; 0 in a free row, which computes for nobody.
      draws: how each row draws its tokens.
    """

    cache: TextCache
    tokens: Int32[Array, " B"]
    left: Int32[Array, " B"]
    draws: Draws


class Written(NamedTuple):
    """What one call of `write` added.

    Attributes:
      tokens: int32, `NO_TOKEN` where a row wrote none; the token that ended it included.
      left: int32, as in `Rows`.
    """

    tokens: Int32[Array, "B _"]
    left: Int32[Array, " B"]


def empty_rows(model: LanguageModel, variables: Variables, B: int, room: int) -> Rows:
    """B free rows of `room` tokens each."""
    tokens = jax.ShapeDtypeStruct((B, 1), jnp.int32)
    prefill = functools.partial(model.prefill, room=room)
    _, cache = jax.eval_shape(prefill, variables, tokens)
    cache = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), cache)
    # Each an array of its own, as all are donated.
    free = Draws.of(SamplingConfig(), 0, B)
    return Rows(cache, jnp.zeros(B, jnp.int32), jnp.zeros(B, jnp.int32), free)


@functools.partial(jax.jit, static_argnames=("model", "room"))
def read(
    model: LanguageModel,
    variables: Variables,
    tokens: Int[Array, "1 T"],
    lengths: Int[Array, " 1"],
    token_types: Int[Array, "1 T"] | None,
    *,
    room: int,
) -> tuple[Float[Array, "1 V"], TextCache]:
    """`model.prefill` of one prompt, padded to a bucket."""
    return model.prefill(variables, tokens, room=room, token_types=token_types, lengths=lengths)


@functools.partial(jax.jit, static_argnames="vocab_size", donate_argnames="rows")
def enter(
    rows: Rows,
    row: Int[Array, ""],
    logits: Float[Array, "1 V"],
    cache: TextCache,
    draws: Draws,
    left: Int[Array, ""],
    eos_tokens: Int[Array, " E"],
    *,
    vocab_size: int,
) -> tuple[Rows, Written]:
    """Gives a row a prompt that has been read, and draws its first token.

    Args:
      rows: donated.
      row: which.
      logits: after the prompt.
      cache: of the prompt, with as much room as the rows have; it can enter other rows as well.
      draws: of one row, before its first token.
      left: tokens to write, 1 or more.
      eos_tokens: what ends a text.
      vocab_size: tokens that may be drawn, the first ones: a model may have more than its
        tokenizer (static).

    Returns:
      The rows, and the token, as the one row [1, 1].
    """
    token = sample(logits[:, :vocab_size], draws)
    left = jnp.where((token[:, None] == eos_tokens[None]).any(-1), 0, left - 1)
    entering = Rows(cache, token, left, dataclasses.replace(draws, drawn=draws.drawn + 1))
    rows = jax.tree.map(functools.partial(_put, row), rows, entering)
    return rows, Written(token[:, None], left)


def _put(row: Int[Array, ""], rows: Array, one: Array) -> Array:
    """`one`, of a batch of one, as a row of `rows`: along the one axis in which they differ."""
    sizes = zip(rows.shape, one.shape, strict=True)
    axis = next((i for i, (many, single) in enumerate(sizes) if many != single), 0)
    return jax.lax.dynamic_update_slice_in_dim(rows, one.astype(rows.dtype), row, axis)


@functools.partial(jax.jit, static_argnames=("model", "vocab_size"), donate_argnames="rows")
def write(
    model: LanguageModel,
    variables: Variables,
    rows: Rows,
    wanted: Bool[Array, " B"],
    steps: Int[Array, ""],
    eos_tokens: Int[Array, " E"],
    *,
    vocab_size: int,
) -> tuple[Rows, Written]:
    """Adds up to `steps` tokens to every row, fewer if all end before.

    Args:
      model: the model; static.
      variables: its values.
      rows: donated.
      wanted: rows to go on with; the others are free from now on.
      steps: 1 to `MOST_TOKENS`; a number of the device, so that all share a program.
      eos_tokens: what ends a text.
      vocab_size: as in `enter`.
    """
    B = wanted.shape[0]
    rows = dataclasses.replace(rows, left=jnp.where(wanted, rows.left, 0))
    written = jnp.full((B, MOST_TOKENS), NO_TOKEN, jnp.int32)

    def goes_on(state: tuple[Array, Rows, Array]) -> Bool[Array, ""]:
        step, rows, _ = state
        return (step < steps) & (rows.left > 0).any()

    def add(state: tuple[Array, Rows, Array]) -> tuple[Array, Rows, Array]:
        step, rows, written = state
        logits, cache = model.decode(variables, rows.tokens[:, None], rows.cache)
        rows = dataclasses.replace(rows, cache=cache)
        rows, tokens = _add_token(rows, logits[:, 0, :vocab_size], eos_tokens)
        return step + 1, rows, jax.lax.dynamic_update_slice(written, tokens[:, None], (0, step))

    _, rows, written = jax.lax.while_loop(goes_on, add, (jnp.int32(0), rows, written))
    return rows, Written(written, rows.left)


def _add_token(
    rows: Rows, logits: Float[Array, "B V"], eos_tokens: Int[Array, " E"]
) -> tuple[Rows, Int32[Array, " B"]]:
    """Returns one token more in every row; what was written, `NO_TOKEN` in free rows."""
    alive = rows.left > 0
    tokens = jnp.where(alive, sample(logits, rows.draws), rows.tokens)
    ended = (tokens[:, None] == eos_tokens[None]).any(-1)
    left = jnp.where(alive & ~ended, rows.left - 1, 0)
    draws = dataclasses.replace(rows.draws, drawn=rows.draws.drawn + 1)
    return Rows(rows.cache, tokens, left, draws), jnp.where(alive, tokens, NO_TOKEN)


def padded_prompt(
    tokens: list[int], T: int, *, are_prefix: bool
) -> tuple[Int32[np.ndarray, "1 T"], Int32[np.ndarray, " 1"], Int32[np.ndarray, "1 T"] | None]:
    """Tokens, lengths and token types of one prompt for `read`, padded to T."""
    row = np.zeros((1, T), np.int32)
    row[0, : len(tokens)] = tokens
    types = (np.arange(T)[None] < len(tokens)).astype(np.int32) if are_prefix else None
    return row, np.array([len(tokens)], np.int32), types
