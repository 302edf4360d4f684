"""Names and layouts of weights."""

import jax
import numpy as np
import pytest

from hrm_jax.convert.pytorch import from_state_dict, to_state_dict
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.types import Variables
from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm, trm
from hrm_jax.models.puzzle_model import PuzzleModel

SIZES = {
    "seq_len": 5,
    "num_puzzle_identifiers": 3,
    "puzzle_emb_ndim": 12,
    "hidden_size": 8,
    "num_heads": 2,
}
CONFIGS = {
    "hrm": hrm(**SIZES, H_layers=1, L_layers=2),
    "hrm_learned_positions": hrm(**SIZES, H_layers=1, L_layers=1, pos_encodings="learned"),
    "hrm_without_puzzles": hrm(
        hidden_size=8, num_heads=2, puzzle_emb_ndim=0, H_layers=1, L_layers=1
    ),
    "trm": trm(**SIZES, puzzle_emb_len=2),
    "trm_mlp": trm(**SIZES, puzzle_emb_len=2, mixing="mlp", pos_encodings="none"),
}


@pytest.fixture(params=CONFIGS)
def config(request) -> PuzzleModelConfig:
    return CONFIGS[request.param]


def random_variables(config: PuzzleModelConfig) -> Variables:
    """Variables of a model, drawn without compiling its initialisation."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(PuzzleModel(config).init, jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)


def weights_of(config: PuzzleModelConfig) -> dict[str, np.ndarray]:
    return to_state_dict(random_variables(config))


def test_round_trip_is_exact(config):
    variables = random_variables(config)
    loaded = from_state_dict(PuzzleModel(config), to_state_dict(variables))
    assert jax.tree.structure(loaded) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


def test_names_and_shapes_are_the_published_ones():
    shapes = {name: array.shape for name, array in weights_of(CONFIGS["trm_mlp"]).items()}
    inner = "model.inner."
    layer = "model.inner.L_level.layers."
    expected = {
        inner + "embed_tokens.embedding_weight": (11, 8),
        inner + "lm_head.weight": (11, 8),
        inner + "q_head.weight": (2, 8),
        inner + "q_head.bias": (2,),
        inner + "puzzle_emb.weights": (3, 12),
        inner + "H_init": (8,),
        inner + "L_init": (8,),
    }
    for i in range(2):
        expected |= {
            f"{layer}{i}.mlp_t.gate_up_proj.weight": (512, 7),
            f"{layer}{i}.mlp_t.down_proj.weight": (7, 256),
            f"{layer}{i}.mlp.gate_up_proj.weight": (512, 8),
            f"{layer}{i}.mlp.down_proj.weight": (8, 256),
        }
    assert shapes == expected


def test_attention_and_both_levels_have_their_names():
    names = weights_of(CONFIGS["hrm_learned_positions"]).keys()
    for level in ("H", "L"):
        assert f"model.inner.{level}_level.layers.0.self_attn.qkv_proj.weight" in names
        assert f"model.inner.{level}_level.layers.0.self_attn.o_proj.weight" in names
    assert "model.inner.embed_pos.embedding_weight" in names


def test_linear_weights_are_transposed():
    variables = random_variables(CONFIGS["hrm"])
    published = to_state_dict(variables)["model.inner.lm_head.weight"]
    np.testing.assert_array_equal(published, variables.params["lm_head"]["kernel"][...].T)


def test_the_prefix_of_compiled_models_is_taken_off():
    model = PuzzleModel(CONFIGS["trm"])
    weights = weights_of(CONFIGS["trm"])
    loaded = from_state_dict(model, {f"_orig_mod.{name}": w for name, w in weights.items()})
    jax.tree.map(np.testing.assert_array_equal, loaded, from_state_dict(model, weights))


def test_a_name_with_and_without_prefix_is_refused():
    weights = weights_of(CONFIGS["trm"])
    weights["_orig_mod.model.inner.H_init"] = weights["model.inner.H_init"]
    with pytest.raises(WeightsError, match=r"_orig_mod\., found some both ways"):
        from_state_dict(PuzzleModel(CONFIGS["trm"]), weights)


NAME = "model.inner.L_level.layers.1.mlp.down_proj.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({NAME: None}, rf"{NAME}: expected \(8, 256\), not found"),
        ({NAME: np.zeros((256, 8), np.float32)}, r"expected \(8, 256\), found \(256, 8\)"),
        ({NAME: np.zeros((8, 256))}, rf"{NAME}: expected float32, found float64"),
        ({"extra": np.zeros(3, np.float32)}, r"extra: not expected, found \(3,\)"),
    ],
    ids=["missing", "shape", "dtype", "left_over"],
)
def test_what_does_not_fit_is_named(change, message):
    weights = {n: a for n, a in (weights_of(CONFIGS["trm"]) | change).items() if a is not None}
    with pytest.raises(WeightsError, match=message):
        from_state_dict(PuzzleModel(CONFIGS["trm"]), weights)


def test_everything_that_does_not_fit_is_listed():
    weights = weights_of(CONFIGS["trm"])
    with pytest.raises(WeightsError) as error:
        from_state_dict(PuzzleModel(CONFIGS["hrm"]), weights)
    assert str(error.value).count("H_level") == 4


def test_loaded_weights_do_not_share_memory():
    weights = {name: array.copy() for name, array in weights_of(CONFIGS["trm"]).items()}
    loaded = from_state_dict(PuzzleModel(CONFIGS["trm"]), weights)
    for array in weights.values():
        array[:] = 7
    for leaf in jax.tree.leaves(loaded):
        assert not (leaf == 7).any()
