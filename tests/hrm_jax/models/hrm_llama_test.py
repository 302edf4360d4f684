"""Reasoning modules on a foundation: silent at first, cached as uncached, trained alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from hrm_jax.core.config import ConfigError, from_dict, from_json, to_dict, to_json
from hrm_jax.core.types import Variables
from hrm_jax.models.hrm_llama import HrmLlama, HrmLlamaConfig
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_jax.models.recurrence import Schedule
from hrm_kernels.jax_versions import AS_USERS
from tests.hrm_jax.models.tiny import LLAMA

T = 9
FOUNDATION = dataclasses.replace(LLAMA, prefix_lm=True)
V = FOUNDATION.vocab_size
CONFIG = HrmLlamaConfig(FOUNDATION, layers_per_level=1, num_heads=2, mlp_width=12)
MODEL = HrmLlama(CONFIG)
UNFROZEN = HrmLlama(dataclasses.replace(CONFIG, freeze_foundation=False))
TOLERANCE = 1e-5
TYPES = jnp.asarray([[1, 1, 1, 1, 0, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def foundation() -> Variables:
    return Llama(FOUNDATION).init(jax.random.key(7))


@pytest.fixture(scope="module")
def fresh(foundation) -> Variables:
    return MODEL.join(MODEL.init_reasoning(jax.random.key(0)), foundation)


@pytest.fixture(scope="module")
def variables(fresh) -> Variables:
    """With a projection that lets the levels be felt."""
    own, foundation = MODEL.parts(fresh)
    key = jax.random.key(1)
    flat = dict(nnx.to_flat_state(own.params))
    zero = flat["refinement",]
    flat["refinement",] = zero.replace(0.3 * jax.random.normal(key, zero.shape))
    own = dataclasses.replace(own, params=nnx.from_flat_state(list(flat.items())))
    return MODEL.join(own, foundation)


def texts(rows: int = 1) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).integers(0, V, (rows, T)), jnp.int32)


def assert_close(found, expected) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_a_fresh_model_says_what_its_foundation_says_to_the_bit(fresh, foundation):
    tokens = texts(2)
    plain = Llama(FOUNDATION)
    jit = functools.partial(jax.jit, compiler_options=AS_USERS)
    for masks in ({}, {"token_types": TYPES.repeat(2, 0)}, {"lengths": jnp.asarray([4, 9])}):
        found = jit(MODEL.logits)(fresh, tokens, **masks)
        expected = jit(plain.logits)(foundation, tokens, **masks)
        np.testing.assert_array_equal(found, expected)
    found, cache = jit(MODEL.prefill, static_argnames="room")(fresh, tokens, room=T + 1)
    expected, plain_cache = jit(plain.prefill, static_argnames="room")(
        foundation, tokens, room=T + 1
    )
    np.testing.assert_array_equal(found, expected)
    found, expected = (
        jit(model.decode)(values, tokens[:, :1], kept)[0]
        for model, values, kept in ((MODEL, fresh, cache), (plain, foundation, plain_cache))
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("H_cycles", [2, 3])
def test_prompts_of_different_lengths_decode_as_if_alone(variables, H_cycles):
    model = MODEL.with_cycles(H_cycles)
    tokens = texts(2)
    lengths = jnp.asarray([3, 5])
    types = (jnp.arange(T)[None] < jnp.asarray([[2], [4]])).astype(jnp.int32)
    whole = jax.jit(model.logits)(variables, tokens, token_types=types)
    padded = jnp.where(jnp.arange(5)[None] < lengths[:, None], tokens[:, :5], V - 1)
    prefill = jax.jit(model.prefill, static_argnames="room")
    found, cache = prefill(variables, padded, room=T, token_types=types[:, :5], lengths=lengths)
    assert len(cache.calls) == 1 + H_cycles * (CONFIG.L_cycles + 1)
    rows = jnp.arange(2)
    decode = jax.jit(model.decode, donate_argnames="cache")
    assert_close(found, whole[rows, lengths - 1])
    for step in range(4):
        position = lengths + step
        found, cache = decode(variables, tokens[rows, position][:, None], cache=cache)
        assert_close(found[:, 0], whole[rows, position])


def test_several_tokens_at_once_from_an_empty_cache(variables):
    tokens = texts(2)
    found, cache = jax.jit(MODEL.decode)(variables, tokens, MODEL.empty_cache(2, T))
    assert_close(found, jax.jit(MODEL.logits)(variables, tokens))
    shapes = [{slot.key.shape for slot in call} for call in cache.calls]
    assert shapes == [{(2, T, 12)}] * 7


def test_more_cycles_and_other_borders_take_the_same_variables(variables):
    twice = jax.jit(MODEL.logits, static_argnames="schedule")
    more = jax.jit(MODEL.with_cycles(4).logits)(variables, texts())
    assert np.abs(more - twice(variables, texts())).max() > 1e-3
    assert_close(twice(variables, texts(), schedule=Schedule(4, 2, (2,))), more)


@functools.partial(jax.jit, static_argnums=0)
def gradients(model: HrmLlama, variables: Variables):
    @jax.grad
    def differentiate(params):
        logits = model.logits(dataclasses.replace(variables, params=params), texts(2))
        return (jax.nn.log_softmax(logits) ** 2).mean()

    return differentiate(variables.params)


def test_only_the_levels_of_a_frozen_foundation_are_trained_and_all_of_them(fresh):
    """The projection first, which is zero; then, one step on, everything that it lets through."""
    found = dict(nnx.to_flat_state(gradients(MODEL, fresh)))
    assert {path[0] for path in found} == {"reasoning"}
    felt = {path for path, leaf in found.items() if leaf[...].any()}
    assert felt == {("reasoning", "refinement")}
    optimiser = optax.sgd(1.0)
    updates, _ = optimiser.update(gradients(MODEL, fresh), optimiser.init(fresh.params))
    after = dataclasses.replace(fresh, params=optax.apply_updates(fresh.params, updates))
    for path, leaf in nnx.to_flat_state(gradients(MODEL, after)):
        assert leaf[...].any(), path


def test_an_unfrozen_foundation_is_trained_too(fresh):
    variables = UNFROZEN.join(*MODEL.parts(fresh))
    np.testing.assert_array_equal(UNFROZEN.logits(variables, texts()), MODEL.logits(fresh, texts()))
    for path, leaf in nnx.to_flat_state(gradients(UNFROZEN, variables)):
        assert leaf[...].any() == (path[0] == "foundation" or path[1] == "refinement"), path


def test_init_gives_all_parts_in_their_places():
    for model, home in ((MODEL, "buffers"), (UNFROZEN, "params")):
        variables = jax.eval_shape(model.init, jax.random.key(0))
        assert set(getattr(variables, home)) == {"foundation", "reasoning"}
        own, foundation = model.parts(variables)
        expected = jax.eval_shape(Llama(FOUNDATION).init, jax.random.key(0))
        assert jax.tree.structure(foundation.params) == jax.tree.structure(expected.params)
        assert jax.tree.structure(model.join(own, foundation)) == jax.tree.structure(variables)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"H_cycles": 0}, "H_cycles: expected 1 or more"),
        ({"num_heads": 0}, "num_heads: expected 1 or more"),
        ({"L_bp_cycles": (-1,)}, r"L_bp_cycles\[0\]: expected 0 or more, got -1; 0 lets no call"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CONFIG, **fields)


def test_json_holds_everything():
    assert from_json(HrmLlamaConfig, to_json(CONFIG)) == CONFIG
    assert hash(HrmLlama(from_json(HrmLlamaConfig, to_json(CONFIG)))) == hash(MODEL)


@dataclasses.dataclass(frozen=True)
class Run:
    model: LlamaConfig | HrmLlamaConfig


def test_files_call_the_config_what_they_always_did():
    plain = to_dict(Run(CONFIG))
    assert plain["model"]["type"] == "ReasonedConfig"
    assert from_dict(Run, plain) == Run(CONFIG)
