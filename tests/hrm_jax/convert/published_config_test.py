"""Configs of the originals as ours, and configs read from weights."""

import jax
import numpy as np
import pytest

from hrm_jax.convert.published_config import from_published_config, infer_config
from hrm_jax.convert.pytorch import from_state_dict, to_state_dict
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.models.puzzle_config import hrm, trm
from hrm_jax.models.puzzle_model import PuzzleModel

# The Sudoku models as published: the `arch` of the configs, and the sizes of the data.
SUDOKU = {
    "seq_len": 81,
    "vocab_size": 11,
    "num_puzzle_identifiers": 1,
    "puzzle_emb_ndim": 512,
    "hidden_size": 512,
    "num_heads": 8,
    "expansion": 4,
    "pos_encodings": "rope",
    "halt_max_steps": 16,
    "halt_exploration_prob": 0.1,
}
HRM = SUDOKU | {"H_cycles": 2, "L_cycles": 2, "H_layers": 4, "L_layers": 4}
TRM = SUDOKU | {"H_cycles": 3, "L_cycles": 6, "H_layers": 0, "L_layers": 2}

SIZES = {"seq_len": 5, "num_puzzle_identifiers": 3, "puzzle_emb_ndim": 24, "hidden_size": 16}


def weights_of(config) -> dict[str, np.ndarray]:
    """Zeros under the names and in the shapes of a model."""
    variables = jax.eval_shape(PuzzleModel(config).init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), variables)
    return to_state_dict(zeros)


def test_the_published_models_are_our_defaults():
    assert from_published_config(HRM, shared_level=False) == hrm()
    assert from_published_config(TRM, shared_level=True) == trm()


def test_fields_of_the_training_code_are_left_out():
    config = HRM | {"name": "hrm.hrm_act_v1@Model", "loss": {"name": "x"}, "batch_size": 768}
    assert from_published_config(config, shared_level=False) == hrm()


def test_fields_of_trm():
    published = TRM | {"mlp_t": True, "pos_encodings": "none", "no_ACT_continue": False}
    published |= {"puzzle_emb_len": 4, "forward_dtype": "bfloat16", "rms_norm_eps": 1e-6}
    assert from_published_config(published, shared_level=True) == trm(
        mixing="mlp",
        pos_encodings="none",
        q_continue=True,
        puzzle_emb_len=4,
        compute_dtype="bfloat16",
        rms_norm_eps=1e-6,
    )


def test_a_missing_field_is_named():
    without = {name: value for name, value in HRM.items() if name != "H_layers"}
    with pytest.raises(KeyError, match="H_layers"):
        from_published_config(without, shared_level=False)


def test_a_field_of_the_wrong_type_is_named():
    with pytest.raises(ConfigError, match="num_heads: expected int, got '8'"):
        from_published_config(HRM | {"num_heads": "8"}, shared_level=False)


@pytest.mark.parametrize(
    ("config", "given"),
    [
        (hrm(**SIZES, H_layers=1, L_layers=2), {"seq_len": 5}),
        (hrm(**SIZES, H_layers=1, L_layers=2, pos_encodings="learned"), {}),
        (trm(hidden_size=16, seq_len=5, puzzle_emb_ndim=0, puzzle_emb_len=0), {"seq_len": 5}),
        (trm(**SIZES, mixing="mlp", pos_encodings="none"), {}),
    ],
    ids=["hrm", "learned_positions", "without_puzzles", "trm_mlp"],
)
def test_shapes_tell_the_sizes(config, given):
    found, origins = infer_config(weights_of(config), overrides=given)
    assert found == config
    assert origins["hidden_size"] == "shapes"
    assert origins["num_heads"] == "default"
    assert origins["seq_len"] == ("override" if given else "shapes")


def test_an_expansion_of_the_same_width_is_found():
    weights = weights_of(hrm(**SIZES, expansion=70.0))
    found, origins = infer_config(weights)
    assert found.expansion != 4
    assert origins["expansion"] == "shapes"
    from_state_dict(PuzzleModel(found), weights)


def test_overrides_win_over_arch_and_arch_over_shapes():
    arch = {"num_heads": 4, "H_cycles": 5, "vocab_size": 7}
    found, origins = infer_config(weights_of(hrm(**SIZES)), arch, {"num_heads": 2})
    assert (found.num_heads, found.H_cycles, found.vocab_size) == (2, 5, 7)
    assert origins["num_heads"] == "override"
    assert origins["H_cycles"] == origins["vocab_size"] == "arch"


def test_the_prefix_shortens_the_puzzle():
    weights = weights_of(trm(**SIZES, mixing="mlp", pos_encodings="none", puzzle_emb_len=3))
    assert infer_config(weights, {"puzzle_emb_len": 3})[0].seq_len == 5
    assert infer_config(weights, {"puzzle_emb_len": 2})[0].seq_len == 6
    with pytest.raises(ConfigError, match="puzzle_emb_len: expected fewer than the 8 tokens"):
        infer_config(weights)


def test_compiled_names_tell_the_same():
    weights = weights_of(hrm(**SIZES))
    compiled = {f"_orig_mod.{name}": array for name, array in weights.items()}
    assert infer_config(compiled) == infer_config(weights)


def test_other_weights_are_refused():
    with pytest.raises(WeightsError, match=r"expected weights of HRM or TRM.*found bert\.layer"):
        infer_config({"bert.layer": np.zeros(3)})
