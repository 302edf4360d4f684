"""The training step lowers for every platform, here without owning any of them."""

import jax
import numpy as np
import pytest

from hrm_jax.core.types import Batch
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_config import hrm, trm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.training.first_state import init_state
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.step import make_train_step

SIZES = {"seq_len": 9, "hidden_size": 32, "num_heads": 2, "puzzle_emb_ndim": 32}
MODELS = {
    "hrm": hrm(**SIZES, compute_dtype="bfloat16"),
    "trm_mlp": trm(**SIZES, mixing="mlp", pos_encodings="none", compute_dtype="bfloat16"),
}


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("hrm", "adam_atan2"), ("trm_mlp", "adam_atan2"), ("trm_mlp", "soap")],
)
def test_the_step_lowers(name, optimizer, platform):
    model = PuzzleModel(MODELS[name])
    optimizers = make_optimizers(OptimConfig(optimizer=optimizer, ema_decay=0.9), 10)
    tokens = np.ones((2, 9), np.int32)
    batch = Batch(tokens, tokens, np.zeros(2, np.int32))
    state = jax.eval_shape(lambda key: init_state(model, optimizers, key, batch), jax.random.key(0))
    step = jax.jit(make_train_step(act_loss, optimizers), static_argnums=0)
    text = step.trace(model, state, batch).lower(lowering_platforms=(platform,)).as_text()
    assert "stablehlo.while" in text  # the cycles are a loop on every platform
