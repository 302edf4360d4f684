"""What is told of the levels' movement is that of the recurrence itself."""

import jax
import numpy as np
import pytest

from hrm_jax.models.hrm_text import HrmText, HrmTextConfig

TOKENS = np.arange(10, dtype=np.int32).reshape(2, 5)


@pytest.mark.parametrize(("H_cycles", "L_cycles"), [(1, 1), (2, 3)])
def test_there_is_a_number_for_each_call_and_token(H_cycles, L_cycles):
    config = HrmTextConfig(
        vocab_size=20, hidden_size=16, num_heads=2, head_size=8, mlp_width=16,
        layers_per_stack=1, H_cycles=H_cycles, L_cycles=L_cycles, L_bp_cycles=(1,),
    )  # fmt: skip
    model = HrmText(config)
    module = model.bind(model.init(jax.random.key(0)))
    attend = config.attention.whole(TOKENS.shape[1], None, None, None)
    slow, fast = module.movement(TOKENS, attend)
    assert slow.shape == (H_cycles, *TOKENS.shape)
    assert fast.shape == (H_cycles * L_cycles, *TOKENS.shape)
    latents = module.initial_latents(TOKENS)
    first, _ = module.L_module(latents.z_L, latents.z_H, attend)
    size = np.linalg.norm(latents.z_L, axis=-1)
    moved = np.linalg.norm(first - latents.z_L, axis=-1) / size
    np.testing.assert_allclose(fast[0], moved, rtol=1e-5)
