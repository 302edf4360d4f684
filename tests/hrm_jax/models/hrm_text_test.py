"""What holds for HRM-Text of any weights: who sees whom, what is cached, what carries gradient."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.core.types import Variables
from hrm_jax.models.call_cache import CacheOverflowError
from hrm_jax.models.hrm_text import HrmText, HrmTextConfig
from hrm_jax.models.recurrence import Schedule

V = 13
T = 9
CONFIG = HrmTextConfig(
    vocab_size=V,
    hidden_size=16,
    num_heads=2,
    head_size=6,
    mlp_width=16,
    layers_per_stack=2,
    H_cycles=2,
    L_cycles=2,
)
MODEL = HrmText(CONFIG)
TOLERANCE = 1e-5
TYPES = jnp.asarray([[1, 1, 1, 1, 0, 0, 0, 0, 0]])
SEGMENTS = jnp.asarray([[1, 1, 1, 1, 1, 2, 2, 2, 2]])
SEGMENT_TYPES = jnp.asarray([[1, 1, 0, 0, 0, 1, 1, 1, 0]])


@pytest.fixture(scope="module")
def variables() -> Variables:
    return jax.jit(MODEL.init)(jax.random.key(0))


def distinct_tokens(rows: int = 1) -> jax.Array:
    """Texts in which no token comes twice."""
    rng = np.random.default_rng(0)
    return jnp.asarray([rng.permutation(V)[:T] for _ in range(rows)], jnp.int32)


@pytest.fixture(scope="module")
def logits():
    return jax.jit(MODEL.logits)


@pytest.fixture(scope="module")
def decode():
    return jax.jit(MODEL.decode, donate_argnames="cache")


def assert_close(found, expected, tolerance=TOLERANCE) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def with_table(variables: Variables, table: jax.Array) -> Variables:
    params = nnx.from_flat_state(
        [
            (path, leaf.replace(table) if path == ("embed_tokens", "table") else leaf)
            for path, leaf in nnx.to_flat_state(variables.params)
        ]
    )
    return dataclasses.replace(variables, params=params)


def table_of(params) -> jax.Array:
    return dict(nnx.to_flat_state(params))["embed_tokens", "table"][...]


CAUSAL = np.tri(T, dtype=bool)
PREFIX = CAUSAL | (np.asarray(TYPES[0]) == 1)[:, None] & (np.asarray(TYPES[0]) == 1)[None]
SAME = np.asarray(SEGMENTS[0])[:, None] == np.asarray(SEGMENTS[0])[None]
BOTH_PREFIXES = (np.asarray(SEGMENT_TYPES[0]) == 1)[:, None] & (np.asarray(SEGMENT_TYPES[0]) == 1)
SEES = {
    "causal": ({}, CAUSAL),
    "prefix": ({"token_types": TYPES}, PREFIX),
    "packed": ({"segment_ids": SEGMENTS}, CAUSAL & SAME),
    "packed_prefixes": (
        {"segment_ids": SEGMENTS, "token_types": SEGMENT_TYPES},
        (CAUSAL | BOTH_PREFIXES) & SAME,
    ),
    "padded": ({"lengths": jnp.asarray([6])}, CAUSAL & (np.arange(T) < 6)[None]),
}


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("case", SEES)
def test_a_logit_depends_on_the_tokens_it_may_see_and_on_no_other(variables, case):
    """Through gradients: each token's row of the embedding table stands for that token alone."""
    masks, sees = SEES[case]
    tokens = distinct_tokens()

    @jax.jit
    @jax.jacrev
    def influence(table):
        return jnp.abs(MODEL.logits(with_table(variables, table), tokens, **masks)[0]).sum(-1)

    found = jnp.abs(influence(table_of(variables.params))).sum(-1)[:, tokens[0]]
    # A query attends over the residual stream: even a token that it must not read is in its own.
    np.testing.assert_array_equal(np.asarray(found) > 0, sees | np.eye(T, dtype=bool))


def test_packed_texts_read_as_they_do_alone(variables, logits):
    tokens = distinct_tokens()
    packed = logits(variables, tokens, segment_ids=SEGMENTS, token_types=SEGMENT_TYPES)
    for part in (slice(0, 5), slice(5, 9)):
        alone = logits(variables, tokens[:, part], token_types=SEGMENT_TYPES[:, part])
        assert_close(packed[:, part], alone)


def test_without_prefix_lm_types_say_nothing(variables, logits):
    causal = HrmText(dataclasses.replace(CONFIG, prefix_lm=False))
    found = jax.jit(causal.logits)(variables, distinct_tokens(), token_types=TYPES)
    assert_close(found, logits(variables, distinct_tokens()))
    assert np.abs(found - logits(variables, distinct_tokens(), token_types=TYPES)).max() > 1e-2


def test_prompts_of_different_lengths_decode_as_if_alone(variables, logits, decode):
    """Two padded prompts with prefixes, then a token at a time, against reading the whole."""
    tokens = distinct_tokens(2)
    lengths = jnp.asarray([3, 5])
    types = (jnp.arange(T)[None] < jnp.asarray([[2], [4]])).astype(jnp.int32)
    whole = logits(variables, tokens, token_types=types)
    padded = jnp.where(jnp.arange(5)[None] < lengths[:, None], tokens[:, :5], V - 1)
    prefill = jax.jit(MODEL.prefill, static_argnames="room")
    found, cache = prefill(variables, padded, room=T, token_types=types[:, :5], lengths=lengths)
    rows = jnp.arange(2)
    assert_close(found, whole[rows, lengths - 1])
    for step in range(4):
        position = lengths + step
        found, cache = decode(variables, tokens[rows, position][:, None], cache=cache)
        assert_close(found[:, 0], whole[rows, position])
    assert cache.lengths.tolist() == [7, 9]


def test_several_tokens_at_once_from_an_empty_cache(variables, logits):
    tokens = distinct_tokens(2)
    found, cache = jax.jit(MODEL.decode)(variables, tokens, MODEL.empty_cache(2, T))
    assert_close(found, logits(variables, tokens))
    assert cache.lengths.tolist() == [T, T]


def test_a_slot_for_every_layer_of_every_call():
    cache = MODEL.empty_cache(3, 5)
    slots = jax.tree.leaves(cache.calls)
    assert len(slots) / 2 == CONFIG.layers_per_stack * CONFIG.H_cycles * (CONFIG.L_cycles + 1)
    assert {slot.shape for slot in slots} == {(3, 5, 12)}


def test_decoding_compiles_once_and_writes_in_place(variables):
    decode = jax.jit(MODEL.decode, donate_argnames="cache")
    cache = MODEL.empty_cache(2, T)
    for token in distinct_tokens(2).T:
        before = cache
        _, cache = decode(variables, token[:, None], cache=cache)
        assert all(slot.is_deleted() for slot in jax.tree.leaves(before.calls))
    assert decode._cache_size() == 1


def test_a_full_cache_is_an_error_before_and_nan_after(variables, decode):
    prefill = jax.jit(MODEL.prefill, static_argnames="room")
    _, cache = prefill(variables, distinct_tokens(2), room=T + 1, lengths=jnp.asarray([9, 4]))
    cache.require_room(1)
    with pytest.raises(CacheOverflowError, match=r"room for 2 tokens after 9, .*10: .*room=11"):
        cache.require_room(2)
    token = jnp.zeros((2, 1), jnp.int32)
    first, cache = decode(variables, token, cache=cache)
    second, cache = decode(variables, token, cache=cache)
    assert jnp.isfinite(first).all()
    assert jnp.isnan(second).all(axis=(1, 2)).tolist() == [True, False]
    assert jnp.isfinite(second[1]).all()
    assert cache.lengths.tolist() == [10, 6]


def test_a_prompt_longer_than_its_cache_is_refused(variables):
    with pytest.raises(CacheOverflowError, match="room for the 9 tokens of a prompt, got 8"):
        MODEL.prefill(variables, distinct_tokens(), room=8)


@pytest.mark.thorough
def test_bfloat16_reads_and_decodes(variables, logits):
    model = HrmText(dataclasses.replace(CONFIG, compute_dtype="bfloat16"))
    tokens = distinct_tokens()
    expected = logits(variables, tokens)
    found = model.logits(variables, tokens)
    last, cache = model.prefill(variables, tokens[:, :-1], room=T)
    step, cache = model.decode(variables, tokens[:, -1:], cache)
    assert {x.dtype.name for x in (found, last, step, *jax.tree.leaves(cache.calls))} == {
        "bfloat16"
    }
    scale = float(jnp.abs(expected).max())
    assert_close(found.astype(jnp.float32), expected, 0.05 * scale)
    assert_close(step[:, 0].astype(jnp.float32), expected[:, -1], 0.05 * scale)


@functools.partial(jax.jit, static_argnums=(0, 2))
def differentiate(model: HrmText, variables: Variables, schedule: Schedule | None):
    def loss(params):
        found = model.logits(
            dataclasses.replace(variables, params=params), distinct_tokens(), schedule=schedule
        )
        return (found**2).sum()

    return jax.grad(loss)(variables.params)


def gradients(model: HrmText, variables: Variables, schedule: Schedule | None = None):
    return dict(nnx.to_flat_state(differentiate(model, variables, schedule)))


@pytest.mark.thorough
def test_the_border_changes_gradients_and_no_value(variables, logits):
    border = Schedule.from_gradient_calls(CONFIG.H_cycles, CONFIG.L_cycles, 2)
    value = jax.jit(MODEL.logits, static_argnames="schedule")
    assert_close(
        value(variables, distinct_tokens(), schedule=border), logits(variables, distinct_tokens())
    )
    short = gradients(MODEL, variables, border)
    published = gradients(MODEL, variables)
    embedding = ("embed_tokens", "table")
    assert not short[embedding][...].any()  # the last two calls see states without gradient
    assert published[embedding][...].any()
    for path in short.keys() - {embedding}:
        assert short[path][...].any(), path


def test_the_pad_token_gets_no_gradient(variables):
    pad = int(distinct_tokens()[0, 3])
    model = HrmText(dataclasses.replace(CONFIG, pad_token=pad))
    found = gradients(model, variables)["embed_tokens", "table"][...]
    expected = gradients(MODEL, variables)["embed_tokens", "table"][...]
    assert expected[pad].any()
    assert not found[pad].any()
    others = jnp.arange(V) != pad
    assert_close(found[others], expected[others], 1e-4 * float(jnp.abs(expected).max()))


def test_tied_embeddings_have_no_head_of_their_own(variables, logits):
    tied = HrmText(dataclasses.replace(CONFIG, tie_embeddings=True))
    abstract = jax.eval_shape(tied.init, jax.random.key(0))
    paths = [path for path, _ in nnx.to_flat_state(abstract.params)]
    assert [path for path in paths if "lm_head" in path] == []
    flat = dict(nnx.to_flat_state(variables.params))
    head = flat.pop(("lm_head", "kernel"))
    same = dataclasses.replace(variables, params=nnx.from_flat_state(list(flat.items())))
    flat["lm_head", "kernel"] = head.replace(table_of(variables.params).T)
    untied = dataclasses.replace(variables, params=nnx.from_flat_state(list(flat.items())))
    found = jax.jit(tied.logits)(same, distinct_tokens())
    assert_close(found, logits(untied, distinct_tokens()))


def test_fresh_weights_have_the_published_scales():
    model = HrmText(dataclasses.replace(CONFIG, hidden_size=256, vocab_size=300, mlp_width=512))
    found = model.init(jax.random.key(1))
    for path, leaf in nnx.to_flat_state(found.params):
        fan_in = 256 if path[-1] == "table" else leaf.shape[0]
        assert np.std(leaf[...]) * fan_in**0.5 == pytest.approx(1, rel=0.06), path
    assert np.std(jax.tree.leaves(found.buffers)[0]) == pytest.approx(1, rel=0.15)
    embedded = model.config.input_scale * table_of(found.params)
    assert np.std(embedded) == pytest.approx(1, rel=0.02)


def test_models_of_one_config_are_one_static_argument():
    assert HrmText(dataclasses.replace(CONFIG)) == MODEL
    assert hash(MODEL) == hash(HrmText(dataclasses.replace(CONFIG)))
