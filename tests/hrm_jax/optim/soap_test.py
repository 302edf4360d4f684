"""SOAP against a loop in NumPy's float64, and what must hold for any gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from hrm_jax.optim.adam_atan2 import adam_atan2
from hrm_jax.optim.soap import soap

STEPS = 12
RATE = 0.01
B1 = 0.9
B2 = 0.95
DECAY = 0.1
AVERAGE = 0.8
EVERY = 4


def run(transformation, params, grads, state=None):
    """The parameters after every update, and the last state."""
    update = jax.jit(transformation.update)
    state = transformation.init(params) if state is None else state
    trajectory = []
    for grad in grads:
        updates, state = update(jax.tree.map(jnp.asarray, grad), state, params)
        params = optax.apply_updates(params, updates)
        trajectory.append(params)
    return trajectory, state


def loop_in_numpy(p: np.ndarray, grads: list[np.ndarray]) -> list[np.ndarray]:
    """SOAP of one block, as the module says, in float64."""
    m = np.zeros_like(p)
    v = np.zeros_like(p)
    averages = [np.zeros((size, size)) for size in p.shape]
    bases = [np.eye(size) for size in p.shape]
    trajectory = []
    for t, g in enumerate(grads, start=1):
        rows, columns = bases
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * (rows.T @ g @ columns) ** 2
        root = np.sqrt(v / (1 - B2**t))
        root = np.maximum(root, root.max() / 2**16)
        direction = rows @ np.arctan2(rows.T @ m @ columns, root) @ columns.T
        p = p * (1 - RATE * DECAY) - RATE / (1 - B1**t) * direction
        for axis, products in enumerate((g @ g.T, g.T @ g)):
            averages[axis] = AVERAGE * averages[axis] + (1 - AVERAGE) * products
            if t == 1:
                bases[axis] = np.linalg.eigh(averages[axis])[1][:, ::-1]
            elif t % EVERY == 0:
                turned = averages[axis] @ bases[axis]
                order = np.argsort(-np.sum(bases[axis] * turned, axis=0))
                v = np.take(v, order, axis)
                bases[axis] = np.linalg.qr(turned[:, order])[0]
        trajectory.append(p)
    return trajectory


def gradients(shape, steps=STEPS):
    """With a mean, so that directions differ in size, and turn while it is being learned."""
    rng = np.random.default_rng(0)
    mean = rng.standard_normal(shape)
    return [(mean + rng.standard_normal(shape)).astype(np.float32) for _ in range(steps)]


def configured(rate=RATE, **changes):
    told = {"average_decay": AVERAGE, "refresh_every": EVERY, "weight_decay": DECAY}
    return soap(rate, B1, B2, **(told | changes))


def test_equals_a_loop_over_blocks_across_two_refreshes():
    grads = gradients((2, 5, 10))
    start = np.full((2, 5, 10), 0.5, np.float32)
    found, state = run(
        configured(largest_block=5), {"w": jnp.asarray(start)}, [{"w": g} for g in grads]
    )
    assert state.bases["w"].blocks_shape == (4, 5, 5)
    for layer in range(2):
        for columns in (slice(0, 5), slice(5, 10)):
            part = np.s_[layer, :, columns]
            expected = loop_in_numpy(
                start[part].astype(np.float64), [g[part].astype(np.float64) for g in grads]
            )
            for ours, theirs in zip(found, expected, strict=True):
                # Each of 12 steps rounds the parameter, of size 1 at most, and its direction, in
                # an order that depends on the processor's vectors.
                np.testing.assert_allclose(ours["w"][part], theirs, rtol=0, atol=2 * 12 * 2**-24)


def test_vectors_and_embeddings_take_the_steps_of_adam_atan2():
    shapes = {"bias": (4,), "column": (4, 1), "scalar": (), "table": (6, 4)}
    rng = np.random.default_rng(0)

    def tree(values):
        table = nnx.Param(jnp.asarray(values["table"]), axes=("entries", "embed"))
        return values | {"table": table}

    grads = [
        tree({n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()})
        for _ in range(5)
    ]
    params = tree({n: jnp.ones(s) for n, s in shapes.items()})
    found, state = run(configured(), params, grads)
    expected, _ = run(adam_atan2(RATE, B1, B2, DECAY), params, grads)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert not state.bases


def test_schedules_are_asked_with_the_updates_done_before():
    grads = [{"w": g} for g in gradients((3, 3), 4)]
    params = {"w": jnp.zeros((3, 3))}
    scheduled, _ = run(configured(lambda count: jnp.where(count < 2, RATE, 0.0)), params, grads)
    constant, _ = run(configured(), params, grads)
    np.testing.assert_array_equal(scheduled[1]["w"], constant[1]["w"])
    np.testing.assert_array_equal(scheduled[3]["w"], constant[1]["w"])


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_gradients_does_not_matter(scale):
    grads = gradients((4, 4))
    params = {"w": jnp.zeros((4, 4))}
    plain, _ = run(configured(), params, [{"w": g} for g in grads])
    scaled, _ = run(configured(), params, [{"w": g * np.float32(scale)} for g in grads])
    np.testing.assert_allclose(scaled[-1]["w"], plain[-1]["w"], atol=RATE / 100)


def test_without_gradient_only_the_decay_moves():
    params = {"w": jnp.arange(12.0).reshape(3, 4)}
    found, state = run(configured(), params, [{"w": np.zeros((3, 4), np.float32)}] * 6)
    np.testing.assert_allclose(found[-1]["w"], params["w"] * (1 - RATE * DECAY) ** 6, rtol=1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_gradients_after_none_are_followed():
    """A layer behind one that starts at zero has no gradient at first."""
    grads = gradients((4, 4), 9)
    params = {"w": jnp.zeros((4, 4))}
    none = [{"w": np.zeros((4, 4), np.float32)}]
    found, _ = run(configured(), params, none + [{"w": g} for g in grads])
    assert np.abs(found[-1]["w"] - found[0]["w"]).mean() > 0.1 * RATE


@pytest.mark.parametrize("rank", [1, 3])
def test_rounding_is_not_enlarged_where_there_is_no_gradient(rank):
    """Adam takes rounding noise for full steps, and turning leaves some in every direction."""
    rng = np.random.default_rng(0)
    size = 64
    rows = np.linalg.qr(rng.standard_normal((size, rank)))[0]
    columns = np.linalg.qr(rng.standard_normal((size, rank)))[0]
    grads = [
        {"w": np.float32(rows @ rng.standard_normal((rank, rank)) @ columns.T)} for _ in range(20)
    ]
    transformation = configured(weight_decay=0.0)
    (start,), state = run(transformation, {"w": jnp.zeros((size, size))}, grads[:1])
    # The first update was Adam's. Its second moments would hide the noise for some hundred updates.
    state = state._replace(nu={"w": jnp.zeros_like(state.nu["w"])})
    found, _ = run(transformation, start, grads[1:], state)
    moved = np.asarray(found[-1]["w"] - start["w"], np.float64)
    inside = rows @ (rows.T @ moved @ columns) @ columns.T
    assert np.linalg.norm(moved - inside) < 0.01 * RATE * size


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_no_number_shows_in_the_weights(bad):
    """So that the run stops; a decomposition must neither hide it nor fail."""
    grads = [{"w": np.full((3, 3), bad, np.float32)}, {"w": np.ones((3, 3), np.float32)}]
    found, _ = run(configured(refresh_every=1), {"w": jnp.ones((3, 3))}, grads)
    assert np.isnan(found[-1]["w"]).all()


def test_bfloat16_weights_have_float32_state():
    params = {"w": jnp.ones((4, 4), jnp.bfloat16), "b": jnp.ones(4, jnp.bfloat16)}
    rng = np.random.default_rng(0)
    grads = {n: jnp.asarray(rng.standard_normal(p.shape), jnp.bfloat16) for n, p in params.items()}
    transformation = configured()
    update = jax.jit(transformation.update)
    updates, state = update(grads, transformation.init(params), params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(updates)} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {"float32", "int32"}
    assert optax.apply_updates(params, updates)["w"].dtype == jnp.bfloat16
    full = [jax.tree.map(lambda x: x.astype(jnp.float32), tree) for tree in (params, grads)]
    expected, _ = update(full[1], transformation.init(full[0]), full[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), updates, expected)


def test_the_state_takes_the_bytes_that_are_stated():
    """Square blocks: thrice the bytes of Adam-atan2. In general 2 + 2 (r / c + c / r) floats."""

    def floats(params):
        state = jax.eval_shape(soap(RATE).init, params)
        return sum(leaf.size for leaf in jax.tree.leaves(state)) - 1  # without the count

    assert floats({"w": jnp.zeros((512, 768))}) == 6 * 512 * 768
    assert floats({"w": jnp.zeros((48, 192))}) == (2 + 2 * (1 / 4 + 4)) * 48 * 192
    assert floats({"b": jnp.zeros(48)}) == 2 * 48


def test_needs_the_parameters():
    transformation = soap(0.1)
    state = transformation.init({"w": jnp.zeros((2, 2))})
    with pytest.raises(ValueError, match="soap needs the parameters"):
        transformation.update({"w": jnp.ones((2, 2))}, state)


def test_what_is_not_said_has_the_published_values():
    grads = [{"w": g} for g in gradients((3, 3), 22)]
    params = {"w": jnp.ones((3, 3))}
    told = {"average_decay": 0.95, "refresh_every": 10, "largest_block": 256, "weight_decay": 0.0}
    plain, _ = run(soap(RATE), params, grads)
    same, _ = run(soap(RATE, 0.9, 0.95, **told), params, grads)
    np.testing.assert_array_equal(plain[-1]["w"], same[-1]["w"])


def loss_after_regression(transformation, steps=200):
    """Of a matrix from inputs whose deviations range over two decades, not along the axes."""
    rng = np.random.default_rng(0)
    size = 16
    directions = np.linalg.qr(rng.standard_normal((size, size)))[0]
    deviations = np.logspace(0, -2, size)
    inputs = rng.standard_normal((256, size)) * deviations @ directions.T
    inputs = jnp.asarray(inputs, jnp.float32)
    targets = inputs @ jnp.asarray(rng.standard_normal((size, size)), jnp.float32)

    def loss(params):
        return jnp.mean((inputs @ params["w"] - targets) ** 2)

    def step(state, _):
        params, opt_state = state
        updates, opt_state = transformation.update(jax.grad(loss)(params), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    params = {"w": jnp.zeros((size, size))}
    (params, _), _ = jax.lax.scan(step, (params, transformation.init(params)), length=steps)
    return loss(params)


def test_learns_more_than_adam_where_directions_are_not_the_axes():
    """Each at the best of three rates: steps along eigenvectors are shorter than those of signs."""
    rates = jnp.array([0.03, 0.1, 0.3])
    theirs, ours = (
        jax.jit(jax.vmap(lambda rate, make=make: loss_after_regression(make(rate))))(rates)
        for make in (adam_atan2, soap)
    )
    assert ours.min() < theirs.min() / 4
