import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hrm_jax.core.config import ConfigError
from hrm_jax.inference.text.sampling import Draws, SamplingConfig, sample

V = 12
MANY = 40_001
NEAR = 1e-5
"""How far float32 may be off in a sum of probabilities."""
# Numbers with few digits, so that scores are often equal.
SCORES = arrays.arrays(np.float32, V, elements=st.integers(-40, 40).map(lambda n: n / 4))
sample_rows = jax.jit(sample)


def stacked(rows: list[Draws]) -> Draws:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *rows)


def expected(scores: np.ndarray, config: SamplingConfig, seed: int, drawn: int) -> int | None:
    """By sorting, in float64, with the noise that the seed and the count stand for.

    None where rounding decides whether a token is within top_p.
    """
    if config.temperature == 0:
        return int(scores.argmax())
    scaled = scores.astype(np.float64) / config.temperature
    by_rank = np.sort(scaled)[::-1]
    lowest = by_rank[min(config.top_k or len(scores), len(scores)) - 1]
    weights = np.where(by_rank >= lowest, np.exp(by_rank - by_rank[0]), 0)
    # Equal scores are kept together: the mass of each is that up to the last of them.
    last = np.searchsorted(-by_rank, -by_rank, side="right") - 1
    masses = (np.cumsum(weights) / weights.sum())[last]
    noisy = scaled + noise(np.uint32(seed), drawn, len(scores))
    tokens = set()
    for near in (-NEAR, NEAR):
        least = lowest
        if config.top_p < 1:
            least = max(lowest, by_rank[(masses > config.top_p + near).argmax()])
        tokens.add(int(np.where(scaled >= least, noisy, -np.inf).argmax()))
    return tokens.pop() if len(tokens) == 1 else None


@functools.partial(jax.jit, static_argnums=2)
def noise(seed: int, drawn: int, size: int) -> jax.Array:
    """Gumbel noise of all tokens, of 16 at a time."""
    key = jax.random.fold_in(jax.random.key(seed), drawn)
    keys = jax.vmap(lambda block: jax.random.fold_in(key, block))(jnp.arange(-(-size // 16)))
    return jax.vmap(lambda key: jax.random.gumbel(key, (16,)))(keys).reshape(-1)[:size]


@settings(max_examples=200, deadline=None)
@given(
    scores=SCORES,
    config=st.builds(
        SamplingConfig,
        temperature=st.sampled_from([0.0, 0.25, 1.0, 2.0]),
        top_k=st.integers(0, V + 3),
        top_p=st.sampled_from([0.05, 0.37, 0.71, 0.93, 1.0]),
    ),
    seed=st.integers(0, 2**32 - 1),
    drawn=st.integers(0, 100),
)
def test_a_token_is_that_of_the_oracle_whatever_the_neighbour_does(scores, config, seed, drawn):
    own = dataclasses.replace(Draws.of(config, seed), drawn=jnp.array([drawn], jnp.int32))
    neighbour = Draws.of(SamplingConfig(temperature=0.7, top_k=3, top_p=0.5), 5)
    rows = jnp.stack([jnp.asarray(scores), jnp.arange(V, dtype=jnp.float32)])
    token = sample_rows(rows, stacked([own, neighbour]))[0]
    right = expected(scores, config, seed, drawn)
    assume(right is not None)
    assert token == right


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("spread", [0.0, 0.5, 4.0])
@pytest.mark.parametrize(
    "config",
    [
        SamplingConfig(),
        SamplingConfig(1.0),
        SamplingConfig(0.8, top_p=0.95),
        SamplingConfig(0.8, top_k=40),
        SamplingConfig(0.8, top_k=3000),
        SamplingConfig(1.5, top_k=3000, top_p=0.5),
    ],
)
def test_of_many_tokens_one_is_that_of_the_oracle_alone_and_beside_others(spread, config):
    """Whether the highest scores are enough to say it (large spread), or all are needed."""
    rng = np.random.default_rng(0)
    scores = np.round(rng.standard_normal((6, MANY)) * spread, 2).astype(np.float32)
    rows = stacked([Draws.of(config, seed) for seed in range(6)])
    tokens = sample_rows(jnp.asarray(scores), rows)
    wanted = [expected(row, config, seed, 0) for seed, row in enumerate(scores)]
    assert len([token for token in wanted if token is not None]) >= 4
    for token, right in zip(tokens, wanted, strict=True):
        assert right is None or token == right
    # Beside a row that needs all tokens, and one that does not.
    neighbours = stacked([rows, Draws.of(SamplingConfig(2.0, top_p=0.999), 8), Draws.of(config, 9)])
    more = jnp.asarray(np.concatenate([scores, np.zeros((1, MANY)), scores[:1]]), jnp.float32)
    np.testing.assert_array_equal(sample_rows(more, neighbours)[:6], tokens)


def test_draws_have_the_probabilities_of_the_softmax():
    logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
    one = Draws.of(SamplingConfig(temperature=1.0), 0, 4000)
    draws = dataclasses.replace(one, seed=jnp.arange(4000, dtype=jnp.uint32))
    tokens = sample_rows(jnp.tile(logits, (4000, 1)), draws)
    shares = np.bincount(tokens, minlength=3) / 4000
    # Four standard deviations of a share of 4000 draws.
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=4 * 0.5 / 4000**0.5)


@pytest.mark.parametrize("config", [SamplingConfig(), SamplingConfig(1.0, 3, 0.8)])
def test_a_mask_takes_the_first_token_that_it_allows(config):
    """Forbidding what is drawn, again and again, ends with what a mask of all of it gives."""
    draw = jax.jit(sample)
    scores = jax.random.normal(jax.random.key(0), (1, 12))
    for seed in range(8):
        draws = Draws.of(config, seed)
        wanted = np.array([np.random.default_rng(seed).random(12) < 0.3])
        allowed = np.ones((1, 12), bool)
        token = int(draw(scores, draws)[0])
        while wanted.any() and not wanted[0, token]:
            allowed[0, token] = False
            token = int(draw(scores, draws, allowed)[0])
        if wanted.any():
            assert token == int(draw(scores, draws, wanted)[0])


def test_minus_zero_counts_as_zero():
    logits = jnp.array([[0.0, -0.0, -1.0, -2.0]])
    top = stacked([Draws.of(SamplingConfig(1.0, top_k=1), seed) for seed in range(64)])
    assert set(sample_rows(jnp.tile(logits, (64, 1)), top).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -0.1}, "temperature: expected 0 or more, got -0.1"),
        ({"top_k": -1}, "top_k: expected 0 or more, got -1; 0 keeps all"),
        ({"top_p": 0.0}, "top_p: expected more than 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "top_p: expected more than 0 and at most 1, got 1.1"),
    ],
)
def test_values_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        SamplingConfig(**fields)
