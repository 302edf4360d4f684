"""Configurations of models that are soon compiled, for tests that need some model."""

from hrm_jax.models.llama import LlamaConfig
from hrm_jax.models.puzzle_config import hrm

RELATIONAL = hrm(
    hidden_size=8,
    mlp_multiple=8,
    H_layers=1,
    L_layers=1,
    mixing="relational",
    pos_encodings="none",
    puzzle_emb_ndim=0,
    q_continue=False,
    halt_max_steps=2,
)
LLAMA = LlamaConfig(
    vocab_size=13,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    num_key_heads=2,
    head_size=6,
    mlp_width=16,
)
