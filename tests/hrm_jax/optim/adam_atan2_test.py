"""Adam-atan2 against a NumPy float64 loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hrm_jax.optim.adam_atan2 import adam_atan2

STEPS = 20
B1 = 0.9
B2 = 0.95
DECAY = 0.1


def rate(count) -> float:
    """A schedule that is different at every step."""
    return 0.01 * (count + 1) / STEPS


def gradients() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        {
            "w": rng.standard_normal((3, 2)) * 10.0 ** rng.integers(-6, 6),
            "b": rng.standard_normal(2),
        }
        for _ in range(STEPS)
    ]


def run(transformation, params, grads):
    """The parameters after every update, and the last state."""
    update = jax.jit(transformation.update)
    state = transformation.init(params)
    trajectory = []
    for grad in grads:
        grad = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), grad)
        updates, state = update(grad, state, params)
        params = optax.apply_updates(params, updates)
        trajectory.append(params)
    return trajectory, state


def published_loop(p: np.ndarray, grads: list[np.ndarray], learning_rate) -> list[np.ndarray]:
    """As the published optimiser does it, in float64."""
    m = np.zeros_like(p)
    v = np.zeros_like(p)
    trajectory = []
    for t, g in enumerate(grads, start=1):
        lr = learning_rate(t - 1)
        p = p * (1 - lr * DECAY)
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * g**2
        p = p - lr / (1 - B1**t) * np.arctan2(m, np.sqrt(v) / np.sqrt(1 - B2**t))
        trajectory.append(p)
    return trajectory


@pytest.mark.parametrize("learning_rate", [0.01, rate], ids=["constant", "schedule"])
def test_equals_the_published_loop_over_20_steps(learning_rate):
    start = {"w": np.full((3, 2), 0.5), "b": np.array([1.0, -2.0])}
    grads = gradients()
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), start)
    found, state = run(adam_atan2(learning_rate, B1, B2, DECAY), params, grads)
    at = learning_rate if callable(learning_rate) else lambda _: learning_rate
    for name, value in start.items():
        expected = published_loop(value, [grad[name] for grad in grads], at)
        for ours, theirs in zip(found, expected, strict=True):
            # Each of 20 steps rounds the parameter, of size 2 at most, to half an epsilon of it.
            np.testing.assert_allclose(ours[name], theirs, rtol=0, atol=20 * 2 * 2**-24)
    assert state.count == STEPS


def test_the_step_does_not_depend_on_the_scale_of_the_gradient():
    """atan2 of a gradient and its size: the first step is pi/4 of the rate, in every entry."""
    params = {"w": jnp.zeros(5)}
    grad = {"w": np.array([1e-12, 1e-3, 1.0, -1e3, -1e12])}
    (after,), _ = run(adam_atan2(0.01, B1, B2), params, [grad])
    # atan2(0.1 g, |g|): the first moment is corrected outside, where it counts tenfold.
    np.testing.assert_allclose(np.abs(after["w"]), 0.01 * 10 * np.arctan(0.1), rtol=1e-6)


def test_without_gradient_only_the_decay_moves():
    params = {"w": jnp.array([1.0, -2.0])}
    (after,), _ = run(adam_atan2(0.1, B1, B2, 0.5), params, [{"w": np.zeros(2)}])
    np.testing.assert_allclose(after["w"], params["w"] * 0.95, rtol=1e-7)


def test_needs_the_parameters():
    transformation = adam_atan2(0.1)
    state = transformation.init({"w": jnp.zeros(2)})
    with pytest.raises(ValueError, match="needs the parameters"):
        transformation.update({"w": jnp.ones(2)}, state)


def test_what_is_not_said_has_the_published_values():
    """b1 = 0.9, b2 = 0.95, no decay: two steps apart tell them from others."""
    params = {"w": jnp.array([0.5])}
    grads = [{"w": np.array([1.0])}, {"w": np.array([-0.3])}, {"w": np.array([0.2])}]
    plain, _ = run(adam_atan2(0.01), params, grads)
    told, _ = run(adam_atan2(0.01, b1=0.9, b2=0.95, weight_decay=0.0), params, grads)
    np.testing.assert_array_equal([p["w"] for p in plain], [p["w"] for p in told])
