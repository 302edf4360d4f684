"""What holds for decoders of any weights: who sees whom, what is cached, what a field adds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.core.types import Variables
from hrm_jax.models.call_cache import CacheOverflowError
from hrm_jax.models.llama import Llama
from hrm_jax.models.recurrence import Schedule
from hrm_jax.nn.rope import RopeScaling
from tests.hrm_jax.models.tiny import LLAMA

T = 9
CONFIG = LLAMA
V = CONFIG.vocab_size
MODEL = Llama(CONFIG)
TOLERANCE = 1e-5
TYPES = jnp.asarray([[1, 1, 1, 1, 0, 0, 0, 0, 0]])
SEGMENTS = jnp.asarray([[1, 1, 1, 1, 1, 2, 2, 2, 2]])
VARIANTS = {
    "plain": {},
    "window": {"window": 3},
    "biased": {"qkv_bias": True, "out_bias": True, "mlp_bias": True},
    "normed_untied": {"qk_norm": True, "tie_embeddings": False},
    "scaled": {"rope_scaling": RopeScaling("llama3", factor=4.0, original_length=16)},
    "prefix": {"prefix_lm": True},
}


def distinct_tokens(rows: int = 1) -> jax.Array:
    """Texts in which no token comes twice."""
    rng = np.random.default_rng(0)
    return jnp.asarray([rng.permutation(V)[:T] for _ in range(rows)], jnp.int32)


def random_variables(model: Llama) -> Variables:
    """Values that make every parameter felt, biases and scales included."""
    leaves, tree = jax.tree.flatten(jax.jit(model.init)(jax.random.key(0)))

    @jax.jit
    def disturb(leaves):
        keys = jax.random.split(jax.random.key(1), len(leaves))
        return [x + 0.2 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]

    return jax.tree.unflatten(tree, disturb(leaves))


def logits_of(model: Llama, variables: Variables, tokens: jax.Array, **masks) -> jax.Array:
    return jax.jit(model.logits)(variables, tokens, **masks)


@pytest.fixture(scope="module")
def variables() -> Variables:
    return random_variables(MODEL)


def assert_close(found, expected, tolerance=TOLERANCE) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


CAUSAL = np.tri(T, dtype=bool)
IN_PREFIX = np.asarray(TYPES[0]) == 1
SAME = np.asarray(SEGMENTS[0])[:, None] == np.asarray(SEGMENTS[0])[None]
SEES = {
    "causal": ({}, {"token_types": TYPES}, CAUSAL),
    "prefix": (
        {"prefix_lm": True},
        {"token_types": TYPES},
        CAUSAL | IN_PREFIX[:, None] & IN_PREFIX[None],
    ),
    "packed": ({}, {"segment_ids": SEGMENTS}, CAUSAL & SAME),
    "padded": ({}, {"lengths": jnp.asarray([6])}, CAUSAL & (np.arange(T) < 6)[None]),
    "window": ({"window": 3, "num_layers": 1}, {}, CAUSAL & ~np.tri(T, k=-3, dtype=bool)),
}


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("case", SEES)
def test_a_logit_depends_on_the_tokens_it_may_see_and_on_no_other(case):
    """Through gradients: each token's row of the embedding table stands for that token alone."""
    fields, masks, sees = SEES[case]
    model = Llama(dataclasses.replace(CONFIG, tie_embeddings=False, **fields))
    variables = random_variables(model)
    tokens = distinct_tokens()
    flat = dict(nnx.to_flat_state(variables.params))
    row = flat["embed_tokens", "table"]

    @jax.jit
    @jax.jacrev
    def influence(table):
        params = nnx.from_flat_state(
            list((flat | {("embed_tokens", "table"): row.replace(table)}).items())
        )
        values = dataclasses.replace(variables, params=params)
        return jnp.abs(model.logits(values, tokens, **masks)[0]).sum(-1)

    found = jnp.abs(influence(row[...])).sum(-1)[:, tokens[0]]
    np.testing.assert_array_equal(np.asarray(found) > 0, sees | np.eye(T, dtype=bool))


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("variant", VARIANTS)
def test_prompts_of_different_lengths_decode_as_if_alone(variant):
    """Two padded prompts, then a token at a time, against reading the whole."""
    model = Llama(dataclasses.replace(CONFIG, **VARIANTS[variant]))
    variables = random_variables(model)
    tokens = distinct_tokens(2)
    lengths = jnp.asarray([3, 5])
    types = (jnp.arange(T)[None] < jnp.asarray([[2], [4]])).astype(jnp.int32)
    whole = jax.jit(model.logits)(variables, tokens, token_types=types)
    padded = jnp.where(jnp.arange(5)[None] < lengths[:, None], tokens[:, :5], V - 1)
    prefill = jax.jit(model.prefill, static_argnames="room")
    found, cache = prefill(variables, padded, room=T, token_types=types[:, :5], lengths=lengths)
    rows = jnp.arange(2)
    decode = jax.jit(model.decode, donate_argnames="cache")
    assert_close(found, whole[rows, lengths - 1])
    for step in range(4):
        position = lengths + step
        found, cache = decode(variables, tokens[rows, position][:, None], cache=cache)
        assert_close(found[:, 0], whole[rows, position])
    assert cache.lengths.tolist() == [7, 9]
    assert decode._cache_size() == 1


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "prefix"])
def test_each_field_is_felt(variables, variant):
    model = Llama(dataclasses.replace(CONFIG, **VARIANTS[variant]))
    found = logits_of(model, random_variables(model), distinct_tokens())
    different = np.abs(found - logits_of(MODEL, variables, distinct_tokens())).max() > 1e-3
    assert different == (variant != "plain")


def test_several_tokens_at_once_from_an_empty_cache(variables):
    tokens = distinct_tokens(2)
    found, cache = jax.jit(MODEL.decode)(variables, tokens, MODEL.empty_cache(2, T))
    assert_close(found, logits_of(MODEL, variables, tokens))
    assert cache.lengths.tolist() == [T, T]
    assert {slot.shape for slot in jax.tree.leaves(cache.calls)} == {(2, T, 12)}
    assert [len(layers) for layers in cache.calls] == [CONFIG.num_layers]


def test_packed_texts_read_as_they_do_alone(variables):
    tokens = distinct_tokens()
    packed = logits_of(MODEL, variables, tokens, segment_ids=SEGMENTS)
    for part in (slice(0, 5), slice(5, 9)):
        assert_close(packed[:, part], logits_of(MODEL, variables, tokens[:, part]))


def test_a_prompt_longer_than_its_cache_is_refused(variables):
    with pytest.raises(CacheOverflowError, match="room for the 9 tokens of a prompt, got 8"):
        MODEL.prefill(variables, distinct_tokens(), room=8)


@pytest.mark.thorough
def test_bfloat16_reads_and_decodes_with_narrow_weights_too(variables):
    model = Llama(dataclasses.replace(CONFIG, compute_dtype="bfloat16"))
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), variables)
    tokens = distinct_tokens()
    expected = MODEL.logits(variables, tokens)
    scale = float(jnp.abs(expected).max())
    for values in (variables, narrow):
        last, cache = model.prefill(values, tokens[:, :-1], room=T)
        step, cache = model.decode(values, tokens[:, -1:], cache)
        assert {x.dtype.name for x in (last, step, *jax.tree.leaves(cache.calls))} == {"bfloat16"}
        assert_close(step[:, 0].astype(jnp.float32), expected[:, -1], 0.05 * scale)


def test_fresh_weights_have_the_scale_of_their_inputs():
    found = Llama(dataclasses.replace(CONFIG, hidden_size=256, vocab_size=300)).init(
        jax.random.key(1)
    )
    for path, leaf in nnx.to_flat_state(found.params):
        if path[-1] == "scale":
            np.testing.assert_array_equal(leaf[...], 1)
        else:
            fan_in = 256 if path[-1] == "table" else leaf.shape[0]
            assert np.std(leaf[...]) * fan_in**0.5 == pytest.approx(1, rel=0.06), path


def test_models_of_one_config_are_one_static_argument():
    assert Llama(dataclasses.replace(CONFIG)) == MODEL
    assert hash(MODEL) == hash(Llama(dataclasses.replace(CONFIG)))


def test_a_schedule_is_refused_as_there_is_no_recurrence(variables):
    with pytest.raises(ValueError, match="expected no schedule for a model that does not recur"):
        MODEL.logits(variables, distinct_tokens(), schedule=Schedule(1, 1, (1,)))
