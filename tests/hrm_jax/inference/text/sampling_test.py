import dataclasses

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
# Numbers with few digits, so that scores are often equal.
SCORES = arrays.arrays(np.float32, V, elements=st.integers(-40, 40).map(lambda n: n / 4))
sample_rows = jax.jit(sample)


def stacked(rows: list[Draws]) -> Draws:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *rows)


def expected(scores: np.ndarray, config: SamplingConfig, seed: int, drawn: int) -> int:
    """By sorting, in float64, with the noise that the seed and the count stand for."""
    if config.temperature == 0:
        return int(scores.argmax())
    scaled = scores.astype(np.float64) / config.temperature
    by_rank = np.sort(scaled)[::-1]
    kept = scaled >= by_rank[min(config.top_k or V, V) - 1]
    if config.top_p < 1:
        weights = np.where(kept, np.exp(scaled - scaled.max()), 0)
        mass = [(weights[scaled >= value].sum() / weights.sum(), value) for value in by_rank]
        assume(all(abs(share - config.top_p) > 1e-5 for share, _ in mass))
        kept &= scaled >= next(value for share, value in mass if share > config.top_p)
    key = jax.random.fold_in(jax.random.key(np.uint32(seed)), drawn)
    noise = np.asarray(jax.random.gumbel(key, (V,), jnp.float32))
    return int(np.where(kept, scaled + noise, -np.inf).argmax())


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
    assert token == expected(scores, config, seed, drawn)


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
