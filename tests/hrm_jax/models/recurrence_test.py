"""The compiled recurrence against a plain Python loop, in values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.types import Latents
from hrm_jax.models.recurrence import Level, Schedule, recur

B, L, D = 2, 3, 4


@st.composite
def schedules(draw) -> Schedule:
    H_cycles, L_cycles = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    count = draw(st.integers(1, H_cycles))
    calls = draw(st.lists(st.integers(0, L_cycles), min_size=count, max_size=count))
    return Schedule(H_cycles, L_cycles, tuple(calls))


def apply(params, hidden, injection):
    return jnp.tanh((hidden + injection) @ params["w"] + params["b"][None, None])


def unrolled(schedule: Schedule, H: Level, L_level: Level, latents: Latents, injection) -> Latents:
    """The oracle: every call written out, with stop_gradient around those outside the border."""
    z_H, z_L = jax.lax.stop_gradient((latents.z_H, latents.z_L))
    free_cycles = schedule.H_cycles - len(schedule.gradient_L_calls)
    for i in range(schedule.H_cycles):
        inside = i >= free_cycles
        gradient_calls = schedule.gradient_L_calls[i - free_cycles] if inside else 0
        for j in range(schedule.L_cycles):
            z_L = L_level(z_L, z_H + injection)
            if j < schedule.L_cycles - gradient_calls:
                z_L = jax.lax.stop_gradient(z_L)
        z_H = H(z_H, z_L)
        if not inside:
            z_H = jax.lax.stop_gradient(z_H)
    return Latents(z_H, z_L)


def assert_close(found, expected) -> None:
    """Equal up to the rounding that a few dozen float32 operations in another order bring."""

    def check(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * max(1.0, np.abs(b).max()))

    jax.tree.map(check, found, expected)


def arguments(seed: int):
    keys = iter(jax.random.split(jax.random.key(seed), 7))

    def normal(*shape):
        return jax.random.normal(next(keys), shape)

    def level():
        return Level({"w": normal(D, D), "b": normal(D)}, apply)

    latents = Latents(normal(B, L, D), normal(B, L, D))
    return level(), level(), latents, normal(B, L, D)


@settings(max_examples=12, deadline=None)
@given(schedule=schedules(), seed=st.integers(0, 2**16))
def test_equals_the_unrolled_loop_in_values_and_gradients(schedule, seed):
    arrays = arguments(seed)
    cotangent = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(seed + 1), x.shape), arrays[2]
    )

    def value_and_gradients(function):
        values, pull_back = jax.vjp(lambda *args: function(schedule, *args), *arrays)
        return values, pull_back(cotangent)

    assert_close(
        jax.jit(value_and_gradients, static_argnums=0)(recur), value_and_gradients(unrolled)
    )


@settings(max_examples=5, deadline=None)
@given(schedule=schedules(), seed=st.integers(0, 2**16))
def test_nothing_outside_the_border_gets_gradient(schedule, seed):
    """With the calls inside the border frozen by hand, the gradient is exactly zero."""
    H, L_level, latents, injection = arguments(seed)

    def loss(latents):
        result = recur(schedule, H, L_level, latents, injection)
        return (result.z_H**2).sum() + (result.z_L**2).sum()

    for gradient in jax.tree.leaves(jax.grad(loss)(latents)):
        np.testing.assert_array_equal(gradient, np.zeros((B, L, D)))


def test_gradient_of_one_call_does_not_see_the_calls_before():
    """HRM's border: the levels' gradient is that of the last two calls on constant states."""
    H, L_level, latents, injection = arguments(0)
    schedule = Schedule(3, 2, (1,))

    def whole(L_level):
        return recur(schedule, H, L_level, latents, injection).z_H.sum()

    before = recur(Schedule(2, 2, (1,)), H, L_level, latents, injection)
    z_L = L_level(before.z_L, before.z_H + injection)

    def last_calls(L_level):
        return H(before.z_H, L_level(z_L, before.z_H + injection)).sum()

    found, expected = jax.grad(whole)(L_level), jax.grad(last_calls)(L_level)
    assert_close(found, expected)


def compile_gradient(schedule: Schedule):
    H, L_level, latents, injection = arguments(0)

    def loss(levels):
        return recur(schedule, *levels, latents, injection).z_H.sum()

    return jax.jit(jax.grad(loss)).lower((H, L_level)).compile()


@pytest.mark.parametrize("cycles", [8, 64])
def test_program_size_does_not_grow_with_the_cycles(cycles):
    few, many = (compile_gradient(Schedule(n, n, (1,))).as_text() for n in (3, cycles))
    assert abs(many.count("\n") - few.count("\n")) <= 0.02 * few.count("\n")


def test_memory_does_not_grow_with_the_cycles_outside_the_border():
    memory = {
        compile_gradient(Schedule(n, 2, (1,))).memory_analysis().temp_size_in_bytes
        for n in (3, 8, 64)
    }
    assert len(memory) == 1


@pytest.mark.parametrize(
    "fields",
    [(0, 1, (1,)), (1, 0, (0,)), (2, 2, ()), (1, 2, (1, 1)), (2, 2, (3,)), (2, 2, (-1,))],
)
def test_impossible_schedules_are_refused(fields):
    with pytest.raises(ValueError, match=r"cycles|gradient_L_calls"):
        Schedule(*fields)
