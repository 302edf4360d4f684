"""A model of 7 billion parameters compiled for machines that are not here, with its memory."""

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import aot_targets
from hrm_jax.core.mesh import batch_sharding, layer_shardings
from hrm_jax.inference.text.sharing import SharedModel
from hrm_jax.models.llama import Llama, LlamaConfig

pytestmark = pytest.mark.aot
QWEN2_7B = LlamaConfig(
    vocab_size=152064,
    hidden_size=3584,
    num_layers=28,
    num_heads=28,
    num_key_heads=4,
    head_size=128,
    mlp_width=18944,
    qkv_bias=True,
    tie_embeddings=False,
    rope_theta=1e6,
    max_length=32768,
    compute_dtype="bfloat16",
)
ROWS = 8
ROOM = 4096
GB = 1e9
"""Of each device: 16 on a v5e, 80 on an H100."""


def of_family(name: str):
    return [
        pytest.param(
            target,
            shape,
            most,
            id=f"{target.name}-{shape}",
            marks=pytest.mark.skipif(
                not aot_targets.is_installed(target), reason=f"needs the {target.extra} extra"
            ),
        )
        for target, shape, most in (
            # Four heads of keys: four devices share each layer, and two groups of four the rows.
            (aot_targets.TARGETS["v5e-8"], (2, 4), 10 * GB),
            (aot_targets.TARGETS["h100"], (1, 1), 24 * GB),
        )
        if target.family == name
    ]


@pytest.mark.parametrize(("target", "shape", "most"), [*of_family("tpu"), *of_family("gpu")])
def test_a_step_of_decoding_fits(target, shape, most, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: target.family)
    mesh = aot_targets.mesh(target, shape)
    shared = SharedModel(Llama(QWEN2_7B), mesh)

    def narrow(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16)

    variables = jax.tree.map(narrow, jax.eval_shape(shared.model.init, jax.random.key(0)))

    def placed(leaf, sharding):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    arguments = jax.tree.map(placed, variables, layer_shardings(variables, mesh))
    rows = batch_sharding(mesh)
    tokens = jax.ShapeDtypeStruct((ROWS, 1), jnp.int32, sharding=rows)
    with jax.set_mesh(mesh), jax.default_matmul_precision("default"):
        empty = jax.jit(shared.empty_cache, static_argnums=(0, 1)).lower(ROWS, ROOM).compile()
        cache = jax.tree.map(
            placed,
            jax.eval_shape(lambda: shared.model.empty_cache(ROWS, ROOM)),
            empty.output_shardings,
        )
        decode = jax.jit(shared.decode, donate_argnums=2)
        found = aot_targets.describe(decode.lower(arguments, tokens, cache).compile())
    devices = shape[0] * shape[1]
    keys = 28 * 2 * ROWS * ROOM * 4 * 128 * 2 / devices
    assert found.aliased_bytes >= keys  # the cache is written in place, and split
    held = found.argument_bytes + found.output_bytes - found.aliased_bytes + found.temporary_bytes
    assert keys < held < most
