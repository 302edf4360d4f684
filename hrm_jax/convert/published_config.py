"""The originals' `arch` configs as ours."""

from collections.abc import Mapping
from typing import Any

from hrm_jax.models.config import ReasonerConfig, hrm, trm

_SAME_NAME = (
    "seq_len",
    "vocab_size",
    "num_puzzle_identifiers",
    "puzzle_emb_ndim",
    "hidden_size",
    "num_heads",
    "L_layers",
    "pos_encodings",
    "H_cycles",
    "L_cycles",
    "halt_max_steps",
    "halt_exploration_prob",
)
_RENAMED = {"forward_dtype": "compute_dtype"}
_OPTIONAL = ("rms_norm_eps", "rope_theta", "puzzle_emb_len")


def from_published_config(config: Mapping[str, Any], *, shared_level: bool) -> ReasonerConfig:
    """Translates a config of the HRM or the TRM code.

    Args:
      config: the original's fields, e.g. from `all_config.yaml` with the data set's sizes added.
      shared_level: True for TRM. The weights tell: TRM has no `H_level`.

    Raises:
      KeyError: if a field is missing.
    """
    fields = {name: config[name] for name in _SAME_NAME}
    fields |= {ours: config[theirs] for theirs, ours in _RENAMED.items() if theirs in config}
    fields |= {name: config[name] for name in _OPTIONAL if name in config}
    fields["expansion"] = float(config["expansion"])
    if not shared_level:
        return hrm(H_layers=config["H_layers"], **fields)
    fields.setdefault("puzzle_emb_len", 0)
    return trm(
        mixing="mlp" if config.get("mlp_t", False) else "attention",
        q_continue=not config.get("no_ACT_continue", True),
        **fields,
    )
