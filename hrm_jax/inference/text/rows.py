"""The device's part of writing: a batch of texts, and the compiled programs that continue them.

A prompt is prefilled alone (`read`) and put into a free row (`enter`); all rows are then continued
together (`write`), several tokens at a time. A program is compiled once for each bucket of prompt
lengths, room and batch size, and not for each token.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, Int32

from hrm_jax.core.protocols import LanguageModel, TextCache
from hrm_jax.core.types import Variables
from hrm_jax.inference.text.healing import Owed, Pieces, pay, restrict
from hrm_jax.inference.text.sampling import Draws, SamplingConfig, sample

NO_TOKEN = -1
MOST_TOKENS = 32
"""Largest number of tokens that one call of `write` adds to a row."""
MOST_SCORES = 20
"""Number of tokens whose probabilities are told beside that of the one drawn."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """B texts being written.

    Attributes:
      cache: the cache of all rows; their last token is not in it yet.
      tokens: int32, the last token of each.
      left: int32, tokens still to be written; 0 in a free row, whose results are unused.
      draws: how each row draws its tokens.
      owed: what each row's next tokens have to begin with.
    """

    cache: TextCache
    tokens: Int32[Array, " B"]
    left: Int32[Array, " B"]
    draws: Draws
    owed: Owed


class Scores(NamedTuple):
    """How likely the model held tokens to be, before temperature and limits.

    Attributes:
      drawn: log-probability of the token that was drawn.
      best: log-probabilities of the `MOST_SCORES` likeliest tokens, the likeliest first.
      tokens: int32, these tokens.
    """

    drawn: Float32[Array, "B *steps"]
    best: Float32[Array, "B *steps N"]
    tokens: Int32[Array, "B *steps N"]


class Written(NamedTuple):
    """The tokens that one call of `write` added.

    Attributes:
      tokens: int32, `NO_TOKEN` where a row wrote none; an ending token is included. By row and
        step; where a step may add several, by these last.
      left: int32, as in `Rows`.
      scores: of the tokens, by row and step, if they were asked for.
    """

    tokens: Int32[Array, "B ..."]
    left: Int32[Array, " B"]
    scores: Scores | None = None


def empty_rows(model: LanguageModel, B: int, room: int) -> Rows:
    """Returns B free rows of `room` tokens each."""
    cache = model.empty_cache(B, room)
    # Each array is one of its own, as all of them are donated.
    free = Draws.of(SamplingConfig(), 0, B)
    return Rows(cache, jnp.zeros(B, jnp.int32), jnp.zeros(B, jnp.int32), free, Owed.of(rows=B))


def empty_cache(model: LanguageModel, room: int) -> TextCache:
    """Returns the cache of one row, without tokens."""
    return model.empty_cache(1, room)


def with_lengths(cache: Any, length: int) -> Any:
    """Returns the cache of one row with its first `length` tokens alone."""
    return dataclasses.replace(cache, lengths=jnp.array([length], jnp.int32))


@functools.partial(jax.jit, static_argnames="model", donate_argnames="cache")
def extend(
    model: LanguageModel,
    variables: Variables,
    tokens: Int[Array, "1 T"],
    cache: TextCache,
    counts: Int[Array, " 1"],
) -> tuple[Float[Array, "1 V"], TextCache]:
    """Returns `model.extend` of one row; the cache is donated."""
    return model.extend(variables, tokens, cache, counts)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="cache")
def splice(
    model: LanguageModel,
    cache: TextCache,
    other: TextCache,
    begin: Int[Array, ""],
    end: Int[Array, ""],
    by: Int[Array, ""],
) -> TextCache:
    """Returns `model.splice` of two caches of one row; the first is donated."""
    return model.splice(cache, other, begin, end, by)


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
    """Returns `model.prefill` of one prompt that is padded to a bucket."""
    return model.prefill(variables, tokens, room=room, token_types=token_types, lengths=lengths)


@functools.partial(jax.jit, donate_argnames="rows", static_argnames="scored")
def enter(
    rows: Rows,
    row: Int[Array, ""],
    logits: Float[Array, "1 V"],
    cache: TextCache,
    draws: Draws,
    owed: Owed,
    left: Int[Array, ""],
    pieces: Pieces,
    eos_tokens: Int[Array, " E"],
    allowed: Bool[Array, "1 V"] | None = None,
    scored: bool = False,
) -> tuple[Rows, Written]:
    """Puts a prefilled prompt into a row, and draws its first token.

    Args:
      rows: donated.
      row: number of the row.
      logits: logits after the prompt.
      cache: the prompt's cache, with the same room as the rows; it is not donated, so that equal
        prompts can enter several rows.
      draws: one row, before its first token.
      owed: one row: the text taken back from the prompt.
      left: number of tokens to write, 1 or more.
      pieces: the texts of the tokens that may be drawn: the model may have more tokens than its
        tokenizer, after these.
      eos_tokens: the tokens that end a text.
      allowed: the tokens that may be drawn, of those with `pieces`; None for all.
      scored: whether scores are returned (static).

    Returns:
      The rows, and the token written, [1, 1].
    """
    # The row before its first token: which token stands before it is not asked.
    entering = Rows(cache, jnp.zeros(1, jnp.int32), left[None], draws, owed)
    entering, token = add_token(entering, logits, pieces, eos_tokens, allowed)
    rows = jax.tree.map(functools.partial(_put, row), rows, entering)
    scores = None
    if scored:
        scores = jax.tree.map(lambda x: x[:, None], scores_of(logits, token, pieces))
    return rows, Written(token[:, None], entering.left, scores)


def _put(row: Int[Array, ""], rows: Array, one: Array) -> Array:
    """Returns `rows` with `one`, of a batch of one, as row `row`.

    The batch axis is the one axis in which the shapes differ.
    """
    sizes = zip(rows.shape, one.shape, strict=True)
    # With a batch of one the shapes are equal, and axis 0 replaces all of it.
    axis = next((i for i, (many, single) in enumerate(sizes) if many != single), 0)
    return jax.lax.dynamic_update_slice_in_dim(rows, one.astype(rows.dtype), row, axis)


@functools.partial(jax.jit, static_argnames=("model", "scored"), donate_argnames="rows")
def write(
    model: LanguageModel,
    variables: Variables,
    rows: Rows,
    wanted: Bool[Array, " B"],
    steps: Int[Array, ""],
    pieces: Pieces,
    eos_tokens: Int[Array, " E"],
    allowed: Bool[Array, "B V"] | None = None,
    places: Int[Array, " B"] | None = None,
    scored: bool = False,
) -> tuple[Rows, Written]:
    """Adds up to `steps` tokens to every row; fewer if all rows end before.

    Args:
      model: the model; static.
      variables: its values.
      rows: donated.
      wanted: the rows to continue, of those in `places`; the others are free from now on.
      steps: 1 to `MOST_TOKENS`; traced, so that one program serves every number.
      pieces: as in `enter`.
      eos_tokens: the tokens that end a text.
      allowed: the tokens that may be drawn, as in `enter`, where `steps` is 1.
      places: B rows that are looked at, all of them different; None for all rows.
      scored: whether scores are returned (static).
    """
    B = wanted.shape[0]
    all_rows = rows
    # The host may have ended a text that the device would go on with, at a stop sequence.
    rows = looked_at(rows, places, wanted)
    written = jnp.full((B, MOST_TOKENS), NO_TOKEN, jnp.int32)
    scores = None
    if scored:
        best = B, MOST_TOKENS, MOST_SCORES
        scores = Scores(jnp.zeros(best[:2]), jnp.zeros(best), jnp.zeros(best, jnp.int32))

    def goes_on(state: tuple[Array, Rows, Any]) -> Bool[Array, ""]:
        step, rows, _ = state
        return (step < steps) & (rows.left > 0).any()

    def add(state: tuple[Array, Rows, Any]) -> tuple[Array, Rows, Any]:
        step, rows, told = state
        # The last token enters the cache only now; the logits are those after it.
        logits, cache = model.decode(variables, rows.tokens[:, None], rows.cache)
        rows = dataclasses.replace(rows, cache=cache)
        rows, tokens = add_token(rows, logits[:, 0], pieces, eos_tokens, allowed)
        new = tokens, scores_of(logits[:, 0], tokens, pieces) if scored else None

        def with_new(all_steps: Array, one: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(all_steps, one[:, None], step, axis=1)

        return step + 1, rows, jax.tree.map(with_new, told, new)

    _, rows, told = jax.lax.while_loop(goes_on, add, (jnp.int32(0), rows, (written, scores)))
    written, scores = told
    return put_back(all_rows, places, rows), Written(written, rows.left, scores)


def scores_of(logits: Float[Array, "B V"], tokens: Int32[Array, " B"], pieces: Pieces) -> Scores:
    """Returns the scores of drawn tokens; those of `NO_TOKEN` mean nothing."""
    logs = jax.nn.log_softmax(logits[:, : len(pieces.lengths)].astype(jnp.float32))
    best, likeliest = jax.lax.top_k(logs, min(MOST_SCORES, logs.shape[1]))
    # `NO_TOKEN` is negative and would be counted from the end.
    drawn = jnp.take_along_axis(logs, jnp.maximum(tokens, 0)[:, None], axis=1)[:, 0]
    return Scores(drawn, best, likeliest.astype(jnp.int32))


def looked_at(rows: Rows, places: Int[Array, " b"] | None, wanted: Bool[Array, " b"]) -> Rows:
    """Returns some rows of a batch, over the same cache; those not wanted are free."""
    cache: Any = rows.cache
    if places is not None:
        cache = dataclasses.replace(cache, lengths=cache.lengths[places], rows=places)
        # All but the cache, whose arrays stay whole, as `rows` says where each row stands in them.
        rows = jax.tree.map(lambda x: x[places], dataclasses.replace(rows, cache=None))
    return dataclasses.replace(rows, cache=cache, left=jnp.where(wanted, rows.left, 0))


def put_back(rows: Rows, places: Int[Array, " b"] | None, some: Rows) -> Rows:
    """Returns a batch after some of its rows, those of `looked_at`, were written on."""
    if places is None:
        return some
    before: Any = rows.cache
    after: Any = some.cache
    lengths = before.lengths.at[places].set(after.lengths)
    put = jax.tree.map(
        lambda many, few: many.at[places].set(few),
        dataclasses.replace(rows, cache=None),
        dataclasses.replace(some, cache=None),
    )
    # The arrays hold all rows, each in its own place again.
    return dataclasses.replace(put, cache=dataclasses.replace(after, lengths=lengths, rows=None))


@functools.partial(jax.jit, donate_argnames="rows")
def set_back(
    rows: Rows,
    row: Int[Array, ""],
    token: Int[Array, ""],
    length: Int[Array, ""],
    left: Int[Array, ""],
    drawn: Int[Array, ""],
    owed: Owed,
) -> Rows:
    """Takes the last tokens of a row back.

    Args:
      rows: donated.
      row: number of the row.
      token: its last token that stays.
      length: number of tokens before that one, the prompt's included.
      left: number of tokens still to be written.
      drawn: number of tokens of the text that stay.
      owed: one row: what the next tokens have to begin with.
    """
    cache: Any = rows.cache
    return Rows(
        dataclasses.replace(cache, lengths=cache.lengths.at[row].set(length)),
        rows.tokens.at[row].set(token),
        rows.left.at[row].set(left),
        dataclasses.replace(rows.draws, drawn=rows.draws.drawn.at[row].set(drawn)),
        jax.tree.map(lambda many, one: many.at[row].set(one[0]), rows.owed, owed),
    )


def add_token(
    rows: Rows,
    logits: Float[Array, "B V"],
    pieces: Pieces,
    eos_tokens: Int[Array, " E"],
    allowed: Bool[Array, "B V"] | None,
) -> tuple[Rows, Int32[Array, " B"]]:
    """Returns the rows with one more token each, and those tokens, `NO_TOKEN` in free rows."""
    alive = rows.left > 0
    # What a text that has ended still owed must not restrict the others any longer.
    owed = dataclasses.replace(rows.owed, length=jnp.where(alive, rows.owed.length, 0))
    # A model may have more rows of logits than its tokenizer has tokens.
    drawn = sample(restrict(logits[:, : len(pieces.lengths)], owed, pieces), rows.draws, allowed)
    # A free row keeps its token, which means nothing.
    tokens = jnp.where(alive, drawn, rows.tokens)
    owed, counts = pay(owed, tokens, pieces)
    ended = (tokens[:, None] == eos_tokens[None]).any(-1)
    left = jnp.where(alive & ~ended, rows.left - counts, 0)
    # Counted in free rows, too, which start anew when a text enters.
    draws = dataclasses.replace(rows.draws, drawn=rows.draws.drawn + 1)
    return Rows(rows.cache, tokens, left, draws, owed), jnp.where(alive, tokens, NO_TOKEN)


def padded_prompt(
    tokens: list[int], T: int, *, are_prefix: bool
) -> tuple[Int32[np.ndarray, "1 T"], Int32[np.ndarray, " 1"], Int32[np.ndarray, "1 T"] | None]:
    """Returns tokens, lengths and token types of one prompt for `read`, padded to T."""
    # What fills the row up lies behind the prompt, where its length says that nothing is seen.
    row = np.zeros((1, T), np.int32)
    row[0, : len(tokens)] = tokens
    types = (np.arange(T)[None] < len(tokens)).astype(np.int32) if are_prefix else None
    return row, np.array([len(tokens)], np.int32), types
