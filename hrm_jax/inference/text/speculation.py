"""Speculative decoding by prompt lookup: what followed the same tokens before is checked at once.

Where the last tokens of a text stood in it before, what followed them there is proposed to follow
again. The model computes the logits after the last token and after each proposed one in one pass.
Tokens are then drawn from them as ever, one after the other, for as long as each is the one
proposed. A draw depends on the logits, the seed and the number of the token alone, so the text is
the one that is written without proposals, wherever the logits do not depend on how many tokens are
computed at once (`reading.is_exact`). Elsewhere it may differ where two tokens are all but equally
likely.

In shapes, T is the width of a pass: the last token and those proposed.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from hrm_jax.core.protocols import LanguageModel
from hrm_jax.core.types import Variables
from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text.healing import Pieces
from hrm_jax.inference.text.rows import MOST_TOKENS, NO_TOKEN, Rows, Written

LEAST_MATCH = 4
"""Tokens that have to stand before: fewer propose more, of which less is right."""
MOST_MATCH = 8
"""Tokens that are compared; of several places the one with the longest match is taken."""
PROPOSED = 7
"""Proposed tokens by default: the kernels for CPU share what they unpack among eight rows."""
_MOST_AT_ONCE = 1 + PROPOSED


def width_of(proposed: int, B: int) -> int:
    """Returns how many tokens a row may propose beside others, so that a pass pays.

    On CPU a pass takes longer with each token beyond eight, so `B` rows share eight: one row may
    propose seven, each of two rows three, each of four one, and none of more. On other devices a
    pass takes as long as reading the weights does, up to far more tokens.
    """
    if jax.default_backend() != "cpu":
        return proposed
    return max(0, min(proposed, _MOST_AT_ONCE // B - 1))


class Texts:
    """The tokens of all rows, on the host: what proposals are looked up in.

    Attributes:
      tokens: int32 [B, S]; arbitrary behind the last token of a row.
    """

    def __init__(self, B: int, room: int):
        """Begins with empty texts of `room` tokens at most."""
        self.tokens: Int32[np.ndarray, "B S"] = np.zeros((B, room), np.int32)
        self._lengths = np.zeros(B, int)

    def begin(self, row: int, prompt: list[int]) -> None:
        """Gives a row to another text, which begins with a prompt."""
        self._lengths[row] = 0
        self.add(row, prompt)

    def add(self, row: int, tokens: list[int]) -> None:
        """Appends tokens to the text of a row."""
        length = self._lengths[row]
        self.tokens[row, length : length + len(tokens)] = tokens
        self._lengths[row] += len(tokens)


class _State(NamedTuple):
    """What a pass changes.

    Attributes:
      step: number of passes so far.
      rows: the rows.
      texts: as in `write`.
      written: int32, the tokens of each pass.
      proposals: int32, the tokens that may follow the last one of each row.
      counts: int32, how many of them are proposed.
    """

    step: Int32[Array, ""]
    rows: Rows
    texts: Int32[Array, "B S"]
    written: Int32[Array, "B _ T"]
    proposals: Int32[Array, "B T-1"]
    counts: Int32[Array, " B"]


@functools.partial(jax.jit, static_argnames=("model", "proposed"), donate_argnames="rows")
def write(
    model: LanguageModel,
    variables: Variables,
    rows: Rows,
    wanted: Bool[Array, " B"],
    steps: Int[Array, ""],
    pieces: Pieces,
    eos_tokens: Int[Array, " E"],
    places: Int[Array, " B"] | None = None,
    *,
    texts: Int32[Array, "B S"],
    proposed: int,
) -> tuple[Rows, Written]:
    """Adds tokens to every row in up to `steps` passes; see `rows.write`.

    Args:
      model, variables, rows, wanted, pieces, eos_tokens, places: as in `rows.write`.
      steps: number of passes, each of which adds a token or more to every row.
      texts: the tokens of each row, of which there is one more than in its cache.
      proposed: tokens that a row proposes at most, 1 or more (static).

    Returns:
      The rows, and the tokens written, [B, `MOST_TOKENS`, 1 + proposed].
    """
    B = wanted.shape[0]
    all_rows = rows
    rows = device.looked_at(rows, places, wanted)
    written = jnp.full((B, MOST_TOKENS, 1 + proposed), NO_TOKEN, jnp.int32)

    def goes_on(state: _State) -> Bool[Array, ""]:
        return (state.step < steps) & (state.rows.left > 0).any()

    def passes(width: int, state: _State) -> _State:
        rows = state.rows
        lengths = rows.cache.lengths
        fed = jnp.concatenate([rows.tokens[:, None], state.proposals], axis=1)[:, :width]
        logits, cache = model.decode(variables, fed, rows.cache)
        rows, tokens = _accept(rows, logits, fed, state.counts, pieces, eos_tokens)
        # What was fed behind the last token that agreed is written over.
        lengths_after = lengths + (tokens != NO_TOKEN).sum(1)
        rows = dataclasses.replace(rows, cache=_with_lengths(cache, lengths_after))
        # The last token of a text is not in its cache, hence one place further.
        texts = _appended(state.texts, lengths + 1, tokens)
        written = jax.lax.dynamic_update_slice(state.written, tokens[:, None], (0, state.step, 0))
        found = propose(texts, lengths_after, rows.left > 0, proposed)
        return _State(state.step + 1, rows, texts, written, *found)

    def both(state: _State) -> _State:
        # A loop for each width, as the branches of a condition would copy the cache.
        for width in (1, 1 + proposed):
            is_wide = width > 1
            state = jax.lax.while_loop(
                lambda state, is_wide=is_wide: (
                    goes_on(state) & ((state.counts > 0).any() == is_wide)
                ),
                functools.partial(passes, width),
                state,
            )
        return state

    found = propose(texts, rows.cache.lengths, rows.left > 0, proposed)
    state = _State(jnp.int32(0), rows, texts, written, *found)
    state = jax.lax.while_loop(goes_on, both, state)
    return device.put_back(all_rows, places, state.rows), Written(state.written, state.rows.left)


def propose(
    texts: Int32[Array, "B S"], last: Int[Array, " B"], wanted: Bool[Array, " B"], proposed: int
) -> tuple[Int32[Array, "B proposed"], Int32[Array, " B"]]:
    """Returns the tokens that followed where the last ones of each text stood before.

    Args:
      texts: the tokens.
      last: index of the last token of each text.
      wanted: the rows that propose any.
      proposed: number of tokens returned.

    Returns:
      The tokens, and how many of each row are proposed; 0 where fewer than `LEAST_MATCH` tokens
      stood before, or the row is not wanted.
    """
    S = texts.shape[1]
    matched = jnp.zeros(texts.shape, jnp.int32)
    # Only places before the last token, which would match itself.
    agree = jnp.arange(S)[None] < last[:, None]
    for back in range(MOST_MATCH):
        token = jnp.take_along_axis(texts, jnp.maximum(last - back, 0)[:, None], axis=1)
        # At each place the token that stands so far before it.
        shifted = jnp.pad(texts, ((0, 0), (back, 0)), constant_values=NO_TOKEN)[:, :S]
        agree &= shifted == token
        # The length of the match so far.
        matched += agree
    # The longest match, and of equals the last one.
    place = jnp.argmax(matched * S + jnp.arange(S)[None], axis=1)
    enough = jnp.take_along_axis(matched, place[:, None], axis=1)[:, 0] >= LEAST_MATCH
    following = place[:, None] + 1 + jnp.arange(proposed)[None]
    tokens = jnp.take_along_axis(texts, jnp.minimum(following, S - 1), axis=1)
    # No more than stand behind that place.
    counts = jnp.where(enough & wanted, jnp.minimum(last - place, proposed), 0)
    return tokens, counts.astype(jnp.int32)


def _accept(
    rows: Rows,
    logits: Float[Array, "B T V"],
    fed: Int32[Array, "B T"],
    counts: Int32[Array, " B"],
    pieces: Pieces,
    eos_tokens: Int[Array, " E"],
) -> tuple[Rows, Int32[Array, "B T"]]:
    """Returns the rows with the tokens drawn, and those, `NO_TOKEN` from the first missing on.

    A row's token is drawn after the i-th one that was fed if all of those were drawn before.
    """
    # Nothing is proposed after the last one.
    following = jnp.pad(fed[:, 1:], ((0, 0), (0, 1)), constant_values=NO_TOKEN)

    def goes_on(state: tuple[Array, Rows, Array, Array]) -> Bool[Array, ""]:
        return state[2].any()

    def add(state: tuple[Array, Rows, Array, Array]) -> tuple[Array, Rows, Array, Array]:
        i, rows, drawing, drawn = state
        one = jax.lax.dynamic_index_in_dim(logits, i, axis=1, keepdims=False)
        added, tokens = device.add_token(rows, one, pieces, eos_tokens, None)
        rows = _where(drawing, added, rows)
        tokens = jnp.where(drawing, tokens, NO_TOKEN)
        drawn = jax.lax.dynamic_update_slice(drawn, tokens[:, None], (0, i))
        agrees = tokens == jax.lax.dynamic_index_in_dim(following, i, axis=1, keepdims=False)
        return i + 1, rows, agrees & (i < counts) & (rows.left > 0), drawn

    none = jnp.full(fed.shape, NO_TOKEN, jnp.int32)
    # Without the cache, which drawing does not change.
    state = (jnp.int32(0), dataclasses.replace(rows, cache=None), rows.left > 0, none)
    _, drawn_rows, _, drawn = jax.lax.while_loop(goes_on, add, state)
    return dataclasses.replace(drawn_rows, cache=rows.cache), drawn


def _where(wanted: Bool[Array, " B"], first: Any, second: Any) -> Any:
    """Returns the arrays of `first` in the rows that are wanted, those of `second` elsewhere."""

    def chosen(a: Array, b: Array) -> Array:
        return jnp.where(jnp.expand_dims(wanted, range(1, a.ndim)), a, b)

    return jax.tree.map(chosen, first, second)


def _with_lengths(cache: Any, lengths: Int[Array, " B"]) -> Any:
    return dataclasses.replace(cache, lengths=lengths)


def _appended(
    texts: Int32[Array, "B S"], places: Int[Array, " B"], tokens: Int32[Array, "B T"]
) -> Int32[Array, "B S"]:
    """Returns the texts with the tokens that were drawn, each row's from a place of its own."""
    B, T = tokens.shape
    S = texts.shape[1]
    columns = places[:, None] + jnp.arange(T)[None]
    # S is out of bounds, where nothing is written.
    columns = jnp.where(tokens == NO_TOKEN, S, columns)
    return texts.at[jnp.arange(B)[:, None], columns].set(tokens, mode="drop")
