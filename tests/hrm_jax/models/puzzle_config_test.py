"""Configs of reasoners."""

import pytest

from hrm_jax.core.config import ConfigError, from_json, to_json
from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm, trm
from hrm_jax.models.recurrence import Schedule


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, "hidden_size: expected a positive number, got 0"),
        ({"H_layers": 0}, "H_layers: expected a positive number"),
        ({"expansion": -1.0}, "expansion: expected a positive number"),
        ({"num_heads": 7}, "num_heads: expected a divisor of hidden_size=512, got 7"),
        ({"hidden_size": 6, "num_heads": 2}, "num_heads: expected an even head size"),
        ({"mixing": "conv"}, "mixing: expected one of"),
        ({"compute_dtype": "float64"}, "compute_dtype: expected one of"),
        ({"halt_exploration_prob": 1.5}, "halt_exploration_prob: expected a probability"),
        ({"puzzle_emb_ndim": -1}, "puzzle_emb_ndim: expected 0 or more"),
        ({"puzzle_emb_ndim": 0, "puzzle_emb_len": 2}, "puzzle_emb_ndim: expected 1 to 1024"),
        ({"mixing": "relational"}, "puzzle_emb_ndim: expected 0 for relational mixing"),
        ({"mlp_multiple": 0}, "mlp_multiple: expected a positive number"),
        ({"puzzle_emb_ndim": 1025, "puzzle_emb_len": 2}, "puzzle_emb_ndim: expected 1 to 1024"),
    ],
)
def test_what_does_not_fit_is_refused(fields, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        hrm(**fields)


def test_fields_that_are_not_read_are_not_checked():
    trm(H_layers=0)
    trm(mixing="mlp", num_heads=7)
    hrm(hidden_size=6, num_heads=2, pos_encodings="learned", puzzle_emb_ndim=0)


@pytest.mark.parametrize(
    ("fields", "prefix"),
    [
        ({"puzzle_emb_ndim": 0}, 0),
        ({"puzzle_emb_ndim": 512}, 1),
        ({"puzzle_emb_ndim": 513}, 2),
        ({"puzzle_emb_ndim": 100, "puzzle_emb_len": 16}, 16),
    ],
)
def test_prefix_is_as_long_as_the_row_needs_or_as_told(fields, prefix):
    config = hrm(**fields)
    assert config.prefix_length == prefix
    assert config.length == config.block().length == 81 + prefix


def test_schedules_of_the_published_models():
    assert hrm().schedule == Schedule(H_cycles=2, L_cycles=2, gradient_L_calls=(1,))
    assert trm().schedule == Schedule(H_cycles=3, L_cycles=6, gradient_L_calls=(6,))


@pytest.mark.parametrize(("encodings", "theta"), [("rope", 1e4), ("learned", None), ("none", None)])
def test_only_rotary_positions_turn_heads(encodings, theta):
    assert hrm(pos_encodings=encodings).block().rope_theta == theta


def test_goes_through_json():
    config = trm(hidden_size=64, mixing="mlp", pos_encodings="none")
    assert from_json(PuzzleModelConfig, to_json(config)) == config
