"""Training on eight simulated devices is training on one, split."""

import pytest

from tests import commands

# Losses and weights agree to rounding: sums go over devices in another order.
TOLERANCE = 1e-5

TRAIN_ON_MESHES = """
import dataclasses, sys
import jax, numpy as np
from jax.sharding import PartitionSpec as P

from hrm_jax.core.types import Batch
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.models.puzzle_config import hrm, trm
from hrm_jax.core.mesh import (
    MeshConfig, batch_sharding, fetch, make_mesh, split_batch, with_ambient_mesh
)
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.first_state import init_state
from hrm_jax.training.state import state_shardings
from hrm_jax.training.step import make_train_step

assert jax.device_count() == 8
sizes = dict(
    seq_len=7, vocab_size=5, hidden_size=32, num_heads=4, L_layers=1, H_cycles=1, L_cycles=1,
    num_puzzle_identifiers=3, puzzle_emb_ndim=32, halt_max_steps=3, halt_exploration_prob=0.5,
)
model = {
    "hrm": lambda: PuzzleModel(hrm(**sizes, H_layers=1)),
    "trm": lambda: PuzzleModel(trm(**sizes, mixing="mlp", pos_encodings="none", puzzle_emb_len=1)),
}[sys.argv[1]]()
config = OptimConfig(learning_rate=1e-3, warmup_steps=0, ema_decay=0.9)
optimizers = make_optimizers(config, total_steps=4)
rng = np.random.default_rng(0)
B, T = 8, 7
batches = [
    Batch(
        rng.integers(1, 5, (B, T), np.int32),
        rng.integers(1, 5, (B, T), np.int32),
        rng.integers(0, 3, B, np.int32),
    )
    for _ in range(4)
]


def init(key):
    state = init_state(model, optimizers, key, jax.tree.map(np.zeros_like, batches[0]))
    # The halting head starts with one answer for all. Other values make sequences differ.
    mixed = lambda p, x: jax.random.normal(key, x.shape) if "q_head" in str(p) else x
    params = jax.tree_util.tree_map_with_path(mixed, state.variables.params)
    rows = jax.random.normal(key, state.variables.puzzle_rows.shape)
    variables = dataclasses.replace(state.variables, params=params, puzzle_rows=rows)
    return dataclasses.replace(state, variables=variables)


def train(mesh, parts=1):
    shardings = state_shardings(initial, mesh)
    state = jax.device_put(initial, shardings)
    step = jax.jit(
        with_ambient_mesh(make_train_step(act_loss, optimizers, parts=parts), mesh),
        static_argnums=0,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, None),
    )
    if parts > 1:
        compiled = step.lower(model, state, split_batch(batches[0], mesh)).compile().as_text()
        moved = [name for name in ("all-to-all", "collective-permute") if name in compiled]
        assert not moved, f"rows leave their device: {moved}"
    trace = []
    for batch in batches:
        state, metrics = step(model, state, split_batch(batch, mesh))
        trace.append((metrics, fetch((state.carry.halted, state.carry.steps), mesh)))
    return state, jax.device_get(trace)


def specs(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf.sharding.spec for path, leaf in leaves}


def check_placement(state, mesh):
    splits = {"qkv": P(None, "model"), "o_proj": P("model", None),
              "gate_up": P(None, "model"), "down": P("model", None)}
    for tree in (state.variables.params, state.opt_state):
        found = specs(tree)
        for layer, spec in splits.items():
            places = {path: s for path, s in found.items() if layer in path}
            assert places or layer in ("qkv", "o_proj"), layer
            assert set(places.values()) <= {spec}, places
        assert {s for p, s in found.items() if not any(n in p for n in splits)} <= {
            P(), P(None), P(None, None)}
    assert set(specs(state.carry).values()) == {P("data")}
    assert state.carry.latents.z_H.addressable_shards[0].data.shape[0] == B // mesh.shape["data"]
    for leaf in jax.tree.leaves(state.variables.params):
        if "model" in leaf.sharding.spec:
            assert leaf.addressable_shards[0].data.size == leaf.size // mesh.shape["model"]


initial = jax.jit(init)(jax.random.key(0))
alone = make_mesh(MeshConfig(), jax.devices()[:1])
expected_state, expected_trace = train(alone)
assert any(h.any() and not h.all() for _, (h, _) in expected_trace), "halting tells nothing"
worst = 0.0
# The last one has two rows a device, which takes one after the other.
for *shape, parts in ((8, 1, 1), (4, 2, 1), (2, 4, 1), (4, 1, 2)):
    mesh = make_mesh(MeshConfig(*shape), jax.devices()[: shape[0] * shape[1]])
    state, trace = train(mesh, parts)
    check_placement(state, mesh)
    for (metrics, halting), (expected, expected_halting) in zip(trace, expected_trace, strict=True):
        jax.tree.map(np.testing.assert_array_equal, halting, expected_halting)
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=float(sys.argv[2]), atol=0)
        jax.tree.map(close, metrics, expected)
    found = fetch((state.variables, state.opt_state), mesh)
    expected = fetch((expected_state.variables, expected_state.opt_state), alone)
    gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), found, expected)
    worst = max(worst, *jax.tree.leaves(gaps))
print(worst)
"""


SOAP_ON_MESHES = """
import sys
import jax, jax.numpy as jnp, numpy as np, optax
from flax import nnx
from jax.sharding import PartitionSpec as P

from hrm_jax.core.mesh import MeshConfig, fetch, make_mesh
from hrm_jax.core.types import Variables
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.state import TrainState, state_shardings

config = OptimConfig(
    optimizer="soap", learning_rate=0.1, warmup_steps=0, soap_refresh_every=2, soap_largest_block=4
)
dense = make_optimizers(config, total_steps=6).dense
params = {"w": nnx.Param(jnp.ones((4, 8)), axes=("embed", "mlp"))}
# Of full rank: bases of what has no gradient are arbitrary, and depend on rounding.
grads = np.random.default_rng(0).standard_normal((6, 4, 8)).astype(np.float32)


def train(mesh):
    variables = Variables(params, {}, None)
    state = TrainState(jnp.int32(0), jax.random.key(0), variables, dense.init(params), None, None)
    shardings = state_shardings(state, mesh)
    state = jax.device_put(state, shardings)
    kept = shardings.variables.params, shardings.opt_state
    update = jax.jit(dense.update, out_shardings=kept)
    current, opt_state = state.variables.params, state.opt_state
    for grad in grads:
        grad = jax.device_put({"w": nnx.Param(jnp.asarray(grad), axes=("embed", "mlp"))}, kept[0])
        updates, opt_state = update(grad, opt_state, current)
        current = optax.apply_updates(current, updates)
    return current["w"][...], opt_state


alone = make_mesh(MeshConfig(), jax.devices()[:1])
expected = fetch(train(alone)[0], alone)
for shape in ((8, 1), (2, 4)):
    mesh = make_mesh(MeshConfig(*shape))
    found, opt_state = train(mesh)
    (name,) = opt_state.bases
    assert opt_state.mu["w"][...].sharding.spec == P(None, "model")
    replicated = [opt_state.nu[name], *jax.tree.leaves(opt_state.bases)]
    assert all(leaf.sharding.is_fully_replicated for leaf in replicated)
    np.testing.assert_allclose(fetch(found, mesh), expected, rtol=0, atol=float(sys.argv[1]))
"""


def on_eight_devices(script: str, *arguments: str) -> str:
    """What a script prints that sees eight simulated devices."""
    done = commands.run("-c", script, *arguments, devices=8)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("model", ["hrm", "trm"])
def test_a_run_on_eight_devices_equals_a_run_on_one(model):
    assert 0 <= float(on_eight_devices(TRAIN_ON_MESHES, model, str(TOLERANCE))) <= TOLERANCE


def test_soap_keeps_its_bases_whole_on_every_device_and_moves_as_on_one():
    on_eight_devices(SOAP_ON_MESHES, str(TOLERANCE))
