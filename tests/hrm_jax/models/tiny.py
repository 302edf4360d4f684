"""The smallest model that goes by relations, for tests that need one that is soon compiled."""

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
