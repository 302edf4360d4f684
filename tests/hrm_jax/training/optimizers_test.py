"""The optimisers of a run: what a configuration means, by the updates that come out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.models.hrm_text import HrmText, hrm_text
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.optim.ema import averaged_params
from hrm_jax.optim.puzzle_rows import SparseRows
from hrm_jax.optim.soap import soap
from hrm_jax.training.checkpoint import CheckpointStore
from hrm_jax.training.optimizers import OptimConfig, make_optimizers

FIRST = 10 * np.arctan(0.1)
"""Size of Adam-atan2's first step over the rate, at b1 = 0.9."""


def first_update(config, total_steps=100, value=0.0):
    """Of one parameter with gradient 1."""
    dense = make_optimizers(config, total_steps).dense
    params = {"w": jnp.array([value])}
    updates, _ = dense.update({"w": jnp.ones(1)}, dense.init(params), params)
    return float(updates["w"][0])


def first_row_update(config, value=0.0):
    rows = make_optimizers(config, 100).rows
    table = jnp.full((2, 1), value)
    updates, _ = rows.update(SparseRows(jnp.array([1]), jnp.ones((1, 1))), rows.init(table), table)
    return float(updates.values[0, 0])


def test_what_is_not_said_has_these_values():
    """A saved config may lack a field; it was run with the default."""
    assert OptimConfig() == OptimConfig(
        optimizer="adam_atan2",
        soap_average_decay=0.95,
        soap_refresh_every=10,
        soap_largest_block=256,
        learning_rate=1e-4,
        weight_decay=1.0,
        puzzle_emb_learning_rate=1e-4,
        puzzle_emb_weight_decay=1.0,
        b1=0.9,
        b2=0.95,
        warmup_steps=2000,
        lr_min_ratio=1.0,
        ema_decay=0.0,
    )


def test_parameters_and_rows_have_rates_and_decays_of_their_own():
    config = OptimConfig(
        learning_rate=0.1,
        weight_decay=0.5,
        puzzle_emb_learning_rate=0.01,
        puzzle_emb_weight_decay=0.25,
        warmup_steps=0,
    )
    assert first_update(config) == pytest.approx(-0.1 * FIRST, rel=1e-5)
    assert first_update(config, value=2.0) == pytest.approx(-0.1 * (FIRST + 0.5 * 2), rel=1e-5)
    assert first_row_update(config) == pytest.approx(-0.01, rel=1e-5)
    assert first_row_update(config, value=2.0) == pytest.approx(-0.01 * (1 + 0.25 * 2), rel=1e-5)


def test_the_moments_decay_as_they_are_told():
    """With b1 = 0 and b2 = 0 the step is the arc tangent of 1, whatever the gradients were."""
    config = OptimConfig(learning_rate=0.1, weight_decay=0.0, b1=0.0, b2=0.0, warmup_steps=0)
    dense = make_optimizers(config, 10).dense
    params = {"w": jnp.zeros(1)}
    state = dense.init(params)
    for gradient in (5.0, -0.1, 3.0):
        updates, state = dense.update({"w": jnp.array([gradient])}, state, params)
        expected = -np.sign(gradient) * 0.1 * np.pi / 4
        np.testing.assert_allclose(updates["w"], [expected], rtol=1e-5)


def test_the_rate_warms_up_and_falls_to_its_share():
    config = OptimConfig(
        learning_rate=0.1, weight_decay=0.0, b1=0.0, b2=0.0, warmup_steps=2, lr_min_ratio=0.5
    )
    dense = make_optimizers(config, 4).dense
    params = {"w": jnp.zeros(1)}
    state = dense.init(params)
    found = []
    for _ in range(5):
        updates, state = dense.update({"w": jnp.ones(1)}, state, params)
        found.append(-float(updates["w"][0]) / (0.1 * np.pi / 4))
    np.testing.assert_allclose(found, [0.5, 1, 0.75, 0.5, 0.5], rtol=1e-5)


def test_a_run_shorter_than_its_warm_up_ends_on_the_way():
    config = OptimConfig(learning_rate=0.1, weight_decay=0.0, warmup_steps=10)
    assert first_update(config, total_steps=4) == pytest.approx(-0.01 * FIRST, rel=1e-5)


def test_an_average_is_kept_where_it_is_asked_for():
    params = {"w": jnp.ones(1)}
    state = make_optimizers(OptimConfig(), 10).dense.init(params)
    assert averaged_params(state, params) is params
    dense = make_optimizers(OptimConfig(ema_decay=0.75, learning_rate=0.0), 10).dense
    state = dense.init(params)
    _, state = dense.update({"w": jnp.ones(1)}, state, {"w": jnp.full(1, 5.0)})
    np.testing.assert_allclose(averaged_params(state, params)["w"], [0.75 * 1 + 0.25 * 5])
    assert len(jax.tree.leaves(state)) == 4  # count, two moments, the average


SOAP = OptimConfig(
    optimizer="soap",
    learning_rate=0.01,
    weight_decay=0.1,
    b1=0.8,
    b2=0.9,
    soap_average_decay=0.7,
    soap_refresh_every=3,
    soap_largest_block=2,
    warmup_steps=0,
    ema_decay=0.9,
)
SOAP_DENSE = make_optimizers(SOAP, 100).dense
SOAP_UPDATE = jax.jit(SOAP_DENSE.update)
SOAP_PARAMS = {"w": jnp.ones((4, 6), jnp.bfloat16), "b": jnp.ones(4)}


def after_updates(update, params, state, numbers):
    """Parameters and state after updates by the gradients of these numbers."""
    for number in numbers:
        rng = np.random.default_rng(number)
        grads = {n: jnp.asarray(rng.standard_normal(p.shape), p.dtype) for n, p in params.items()}
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.fixture(scope="module")
def after_seven():
    return after_updates(SOAP_UPDATE, SOAP_PARAMS, SOAP_DENSE.init(SOAP_PARAMS), range(7))


def test_soap_is_made_as_configured(after_seven):
    plain = soap(0.01, 0.8, 0.9, 0.1, average_decay=0.7, refresh_every=3, largest_block=2)
    start = plain.init(SOAP_PARAMS)
    expected, _ = after_updates(jax.jit(plain.update), SOAP_PARAMS, start, range(7))
    params, state = after_seven
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert averaged_params(state, params) is not params


@pytest.mark.parametrize("saved_after", [1, 2, 3, 4])
def test_soap_goes_on_from_a_checkpoint_to_the_bit(after_seven, saved_after, tmp_path):
    """Before, at and after the refresh of the bases in the third update."""
    start = SOAP_PARAMS, SOAP_DENSE.init(SOAP_PARAMS)
    store = CheckpointStore(tmp_path, keep=1)
    store.save(saved_after, after_updates(SOAP_UPDATE, *start, range(saved_after)), {})
    restored = store.restore(saved_after, jax.eval_shape(lambda: start)).state
    found = after_updates(SOAP_UPDATE, *restored, range(saved_after, 7))
    jax.tree.map(np.testing.assert_array_equal, found, after_seven)


SIZES = {"vocab_size": 12, "hidden_size": 8, "num_heads": 2}
VECTORS = {
    PuzzleModel(hrm(**SIZES, seq_len=5, puzzle_emb_ndim=8)): {"embed_tokens/table", "q_head/bias"},
    HrmText(hrm_text("nano", **SIZES)): {"embed_tokens/table"},
}


@pytest.mark.parametrize("model", VECTORS, ids=lambda model: type(model).__name__)
def test_soap_turns_every_matrix_of_a_model_but_its_embeddings(model):
    params = jax.eval_shape(model.init, jax.random.key(0)).params
    state = jax.eval_shape(SOAP_DENSE.init, params)
    _, after = jax.eval_shape(SOAP_DENSE.update, params, state, params)
    # Otherwise the second step would be compiled anew.
    assert jax.tree.map(jax.typeof, after) == jax.tree.map(jax.typeof, state)
    soap_state = state[0]
    others = soap_state.nu.keys() - soap_state.bases.keys()
    assert {name.removesuffix("/value") for name in others} == VECTORS[model]


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {name: value}
            for name in ("b1", "b2", "ema_decay", "soap_average_decay")
            for value in (-0.1, 1.0)
        ),
        *(
            {name: -1}
            for name in (
                "learning_rate",
                "weight_decay",
                "warmup_steps",
                "puzzle_emb_learning_rate",
                "lr_min_ratio",
            )
        ),
        {"lr_min_ratio": 1.1},
    ],
)
def test_numbers_out_of_range_are_refused(fields):
    (name,) = fields
    with pytest.raises(ConfigError, match=f"^{name}: expected 0"):
        OptimConfig(**fields)


def test_the_ends_of_the_ranges_are_accepted():
    OptimConfig(
        learning_rate=0.0,
        weight_decay=0.0,
        puzzle_emb_learning_rate=0.0,
        b1=0.0,
        b2=0.0,
        warmup_steps=0,
        lr_min_ratio=0.0,
        ema_decay=0.0,
    )


@pytest.mark.parametrize("name", ["soap_refresh_every", "soap_largest_block"])
def test_soap_counts_from_one(name):
    OptimConfig(**{name: 1})
    with pytest.raises(ConfigError, match=f"^{name}: expected 1 or more, got 0"):
        OptimConfig(**{name: 0})


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ConfigError, match=r"^optimizer: expected .*adam_atan2.*soap.*, got 'sgd'"):
        OptimConfig(optimizer="sgd")
