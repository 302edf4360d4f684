"""Draws the next token, with temperature, top-k and top-p, for each row of a batch on its own.

Both limits are a threshold on the scores, found bit by bit: 32 passes over the scores, exact, and
several times as fast on CPU as sorting them. All of it is done among the blocks of tokens that have
the highest scores; where these cannot be shown to hold the token that would be drawn among all, it
is done once more with all.
"""

import dataclasses
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, Shaped, UInt32

from hrm_jax.core.config import configclass, field

_BLOCK = 16
_BLOCKS = 1024
"""Tokens that are looked at together, and how many such blocks are looked at first."""
_MOST_NOISE = 16.0
"""More than any number that `jax.random.gumbel` draws in float32, -log(-log(1 - 2^-23)) = 15.9."""


@configclass
class SamplingConfig:
    """How the next token is chosen. The defaults take the likeliest.

    Raises:
      ConfigError: on construction, for values that cannot be.
    """

    temperature: float = field(
        0.0,
        help="divides the scores; 0 takes the likeliest token",
        at_least=0,
        remedy="0 takes the likeliest token, 1 draws as the model believes",
    )
    top_k: int = field(
        0,
        help="draw from this many likeliest tokens; 0 for all",
        at_least=0,
        remedy="0 keeps all",
    )
    top_p: float = field(
        1.0,
        help="draw from the likeliest tokens that have this probability",
        more_than=0,
        at_most=1,
        remedy="1 keeps all",
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Draws:
    """How each row of a batch draws; arrays, so that one compiled program serves all settings.

    Attributes:
      temperature, top_k, top_p: as in `SamplingConfig`.
      seed: seed of the row's text.
      drawn: number of tokens drawn so far. The noise depends on seed and number alone, so a text
        does not depend on its neighbours in the batch.
    """

    temperature: Float32[Array, " B"]
    top_k: Int32[Array, " B"]
    top_p: Float32[Array, " B"]
    seed: UInt32[Array, " B"]
    drawn: Int32[Array, " B"]

    @classmethod
    def of(cls, config: SamplingConfig, seed: int, rows: int = 1) -> Self:
        """Returns `rows` equal rows before their first token; seeds are taken modulo 2**32."""

        def filled(value: float, dtype: type) -> Array:
            return jnp.full(rows, value, dtype)

        return cls(
            filled(config.temperature, jnp.float32),
            filled(config.top_k, jnp.int32),
            filled(config.top_p, jnp.float32),
            filled(seed % 2**32, jnp.uint32),
            filled(0, jnp.int32),
        )


def sample(
    logits: Float[Array, "B V"], draws: Draws, allowed: Bool[Array, "B V"] | None = None
) -> Int[Array, " B"]:
    """Returns a token for each row, int32.

    A row of temperature 0 takes its highest score, the first of equals. Any other row draws from
    the softmax of `logits / temperature`, limited to its top_k highest scores and then to the
    fewest of those whose probabilities sum to top_p; equal scores are kept or dropped together.

    Seed and number put all tokens of a row into an order: those within the limits by score and
    noise, then the others by score. The first is drawn, or with `allowed` the first that it allows.
    So a token that is drawn without `allowed`, and is allowed, is what would be drawn with it.
    """
    logits = logits.astype(jnp.float32)
    may_come = logits if allowed is None else jnp.where(allowed, logits, -jnp.inf)
    likeliest = _likeliest(_blocked(may_come, -jnp.inf))

    def drawn() -> Int[Array, " B"]:
        greedy = draws.temperature <= 0
        scores = _blocked(logits / jnp.where(greedy, 1.0, draws.temperature)[:, None], -jnp.inf)
        may = None if allowed is None else _blocked(allowed, False)
        token = _drawn(scores, draws, may)
        # Greedy rows, and those with nothing allowed within their limits, take the likeliest that
        # may come.
        return jnp.where(greedy | (token < 0), likeliest, token)

    # Noise and limits are skipped where all rows are greedy.
    return jax.lax.cond((draws.temperature > 0).any(), drawn, lambda: likeliest)


def _blocked(x: Shaped[Array, "B V"], filling: float) -> Shaped[Array, "B n {_BLOCK}"]:
    """Returns the row in blocks, the last one filled up."""
    missing = -x.shape[1] % _BLOCK
    return jnp.pad(x, ((0, 0), (0, missing)), constant_values=filling).reshape(
        x.shape[0], -1, _BLOCK
    )


def _likeliest(scores: Float32[Array, "B n {_BLOCK}"]) -> Int32[Array, " B"]:
    """Returns the first token of the highest score, several times as fast on CPU as `argmax`."""
    block = scores.max(-1).argmax(-1)
    lane = jnp.take_along_axis(scores, block[:, None, None], 1)[:, 0].argmax(-1)
    return (block * _BLOCK + lane).astype(jnp.int32)


def _drawn(
    scores: Float32[Array, "B n {_BLOCK}"],
    draws: Draws,
    allowed: Bool[Array, "B n {_BLOCK}"] | None,
) -> Int32[Array, " B"]:
    """Returns the token that each row draws; -1 where none within the limits is allowed."""
    B, n, _ = scores.shape
    every = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32), (B, n))
    highest = scores.max((1, 2), keepdims=True)
    # Over all tokens, also where only some blocks are looked at.
    total = jnp.exp(scores - highest).sum((1, 2))

    def among(blocks: Int32[Array, "B k"], beyond: Float32[Array, " B"]) -> _Choice:
        def taken(x: Shaped[Array, "B n {_BLOCK}"]) -> Shaped[Array, "B k {_BLOCK}"]:
            return x if blocks is every else jnp.take_along_axis(x, blocks[..., None], 1)

        return _choose(
            taken(scores), blocks, draws, total, beyond, None if allowed is None else taken(allowed)
        )

    def among_all() -> Int32[Array, " B"]:
        return among(every, jnp.full(B, -jnp.inf)).token

    def among_highest() -> Int32[Array, " B"]:
        most, blocks = jax.lax.top_k(scores.max(-1), _BLOCKS)
        # The least, rather than the last, which XLA for CPU would sort all of them for.
        token, is_sure = among(blocks, most.min(-1))
        # Of each row by itself, so that what it draws does not depend on its neighbours.
        return jax.lax.cond(
            is_sure.all(), lambda: token, lambda: jnp.where(is_sure, token, among_all())
        )

    if n <= _BLOCKS:
        return among_all()
    # Without limits, the highest scores are too rarely sure to be tried.
    return jax.lax.cond(_limited(draws), among_highest, among_all)


def _limited(draws: Draws) -> Bool[Array, ""]:
    """Returns whether any row has limits."""
    return (draws.top_k > 0).any() | (draws.top_p < 1).any()


class _Choice(NamedTuple):
    """What each row draws among some blocks.

    Attributes:
      token: int32; -1 where none within the limits is allowed.
      is_sure: bool, whether it is what would be drawn among all blocks.
    """

    token: Int32[Array, " B"]
    is_sure: Bool[Array, " B"]


def _choose(
    scores: Float32[Array, "B k {_BLOCK}"],
    blocks: Int32[Array, "B k"],
    draws: Draws,
    total: Float32[Array, " B"],
    beyond: Float32[Array, " B"],
    allowed: Bool[Array, "B k {_BLOCK}"] | None,
) -> _Choice:
    """Draws among some blocks of each row, those with its highest scores.

    Args:
      scores: of their tokens, divided by the temperature.
      blocks: their numbers.
      draws: as in `sample`.
      total: sum of exp(score - highest score) over all tokens of the row.
      beyond: what no score of the other blocks exceeds.
      allowed: the tokens that may be drawn; all by default.
    """
    # The limits take passes over all scores: skipped where no row of the batch has any.
    least = jax.lax.cond(
        _limited(draws),
        _least_kept,
        lambda scores, draws, total: jnp.zeros(scores.shape[0], jnp.uint32),
        *(scores, draws, total),
    )
    may_come = _ordered(scores) >= least[:, None, None]
    if allowed is not None:
        may_come &= allowed
    # Adding Gumbel noise and taking the maximum samples from the softmax of the scores.
    noise = jax.vmap(_gumbel)(draws.seed, draws.drawn, blocks)
    noisy = jnp.where(may_come, scores + noise, -jnp.inf).reshape(scores.shape[0], -1)
    best = noisy.max(-1)
    place = noisy.argmax(-1)
    block = jnp.take_along_axis(blocks, place[:, None] // _BLOCK, 1)[:, 0]
    token = jnp.where(jnp.isneginf(best), -1, block * _BLOCK + place % _BLOCK)
    # Sure if all within the limits was looked at, or if no noise lifts another token above the
    # best.
    return _Choice(
        token.astype(jnp.int32), (least > _ordered(beyond)) | (best > beyond + _MOST_NOISE)
    )


def _gumbel(seed: Array, count: Array, blocks: Int32[Array, " k"]) -> Float32[Array, "k {_BLOCK}"]:
    """Returns the noise of some blocks of one row: the same whichever others are asked for."""
    key = jax.random.fold_in(jax.random.key(seed), count)

    def noise(block: Int32[Array, ""]) -> Float32[Array, " {_BLOCK}"]:
        return jax.random.gumbel(jax.random.fold_in(key, block), (_BLOCK,), jnp.float32)

    return jax.vmap(noise)(blocks)


def _least_kept(
    scores: Float32[Array, "B k {_BLOCK}"], draws: Draws, total: Float32[Array, " B"]
) -> UInt32[Array, " B"]:
    """Returns the order of the lowest score that top_k and top_p keep; 0 if they keep all."""
    scores = scores.reshape(scores.shape[0], -1)
    order = _ordered(scores)

    def highest(_: None = None) -> UInt32[Array, " B"]:
        count = jnp.where(draws.top_k > 0, draws.top_k.astype(jnp.float32), jnp.inf)
        return _threshold(order, jnp.ones_like(scores), count)

    by_count = jax.lax.cond(
        (draws.top_k > 0).any(), highest, lambda: jnp.zeros(scores.shape[0], jnp.uint32)
    )
    weights = jnp.exp(scores - scores.max(-1, keepdims=True))
    # top_p is a share of what top_k keeps.
    weights = jnp.where(order >= by_count[:, None], weights, 0)
    total = jnp.where(draws.top_k > 0, weights.sum(-1), total)
    # Rounding may leave the sum of all weights below the total, so a top_p of 1 asks for infinity,
    # which no threshold reaches: then all are kept.
    share = jnp.where(draws.top_p < 1, draws.top_p, jnp.inf)
    return jnp.maximum(by_count, _threshold(order, weights, share * total))


def _ordered(x: Float32[Array, "*axes"]) -> UInt32[Array, "*axes"]:
    """Returns unsigned integers in the order of the floats."""
    # Among floats of equal sign the bits are ordered as integers; for negative ones the order is
    # reversed, so all bits are flipped, else the sign alone. -0 becomes 0, as they are equal.
    bits = jax.lax.bitcast_convert_type(jnp.where(x == 0, 0.0, x), jnp.uint32)
    sign = jnp.uint32(1 << 31)
    return jnp.where(bits & sign, ~bits, bits | sign)


def _threshold(
    order: UInt32[Array, "B C"], weights: Float32[Array, "B C"], enough: Float32[Array, " B"]
) -> UInt32[Array, " B"]:
    """Returns the highest threshold whose kept weights sum to `enough`; 0 if there is none."""

    # A binary search from the highest bit: a bit stays set if enough weight still reaches it.
    def with_bit(index: Array, threshold: UInt32[Array, " B"]) -> UInt32[Array, " B"]:
        higher = threshold | (jnp.uint32(1 << 31) >> index.astype(jnp.uint32))
        mass = jnp.where(order >= higher[:, None], weights, 0).sum(-1)
        return jnp.where(mass >= enough, higher, threshold)

    return jax.lax.fori_loop(0, 32, with_bit, jnp.zeros(order.shape[0], jnp.uint32))
