"""The whole training step compiled for a mesh of TPUs that is not here."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding

from experiments.benchmarks import aot_targets
from hrm_jax.core.mesh import batch_sharding, replicated, with_ambient_mesh
from hrm_jax.core.types import Batch
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.training.first_state import init_state
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.state import state_shardings
from hrm_jax.training.step import make_train_step

pytestmark = pytest.mark.aot
V5E = aot_targets.TARGETS["v5e"]
BATCH_SIZE = 64


@pytest.mark.skipif(not aot_targets.is_installed(V5E), reason="needs the aot-tpu extra")
@pytest.mark.parametrize("shape", [(4, 1), (2, 2)])
def test_the_step_compiles_for_four_tpus_through_our_kernels(shape, monkeypatch):
    mesh = aot_targets.mesh(V5E, shape)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")  # by which formulations are chosen
    model = PuzzleModel(hrm(hidden_size=256, compute_dtype="bfloat16"))
    optimizers = make_optimizers(OptimConfig(ema_decay=0.999), 100)
    tokens = np.ones((BATCH_SIZE, 81), np.int32)
    batch = Batch(tokens, tokens, np.zeros(BATCH_SIZE, np.int32))
    state = jax.eval_shape(lambda key: init_state(model, optimizers, key, batch), jax.random.key(0))
    shardings = state_shardings(state, mesh)

    def placed(tree, of):
        return jax.tree.map(
            lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree, of
        )

    step = jax.jit(
        with_ambient_mesh(make_train_step(act_loss, optimizers), mesh),
        static_argnums=0,
        donate_argnums=1,
        out_shardings=(shardings, replicated(mesh)),
    )
    batches: NamedSharding = batch_sharding(mesh)
    arguments = placed(state, shardings), placed(batch, jax.tree.map(lambda _: batches, batch))
    with jax.default_matmul_precision("default"):
        compiled = step.lower(model, *arguments).compile()
    found = aot_targets.describe(compiled)
    # Forward passes in loops and the target, and forward and backward of both levels' last calls.
    assert found.num_kernels >= 3 * model.config.H_layers
    assert found.aliased_bytes > 0.9 * found.output_bytes  # the donated state is written in place
