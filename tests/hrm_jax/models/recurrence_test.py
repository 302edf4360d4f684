"""The compiled recurrence against a plain Python loop, in values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.types import Latents
from hrm_jax.models.recurrence import (
    BorderWarmup,
    Level,
    Schedule,
    recur,
    recur_with_memory,
)

B = 2
L = 3
D = 4


@st.composite
def schedules(draw) -> Schedule:
    H_cycles = draw(st.integers(1, 4))
    L_cycles = draw(st.integers(1, 4))
    count = draw(st.integers(1, H_cycles))
    calls = draw(st.lists(st.integers(0, L_cycles), min_size=count, max_size=count))
    return Schedule(H_cycles, L_cycles, tuple(calls))


def apply(params, hidden, injection):
    return jnp.tanh((hidden + injection) @ params["w"] + params["b"][None, None])


def unrolled(schedule: Schedule, H: Level, L_level: Level, latents: Latents, injection) -> Latents:
    """The oracle: every call written out, with stop_gradient around those outside the border."""
    z_H = latents.z_H
    z_L = latents.z_L
    free_cycles = schedule.H_cycles - len(schedule.gradient_L_calls)
    for i in range(schedule.H_cycles):
        inside = i >= free_cycles
        gradient_calls = schedule.gradient_L_calls[i - free_cycles] if inside else 0
        for j in range(schedule.L_cycles):
            z_L = L_level(z_L, z_H if injection is None else z_H + injection)
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
        # At a larger scale each call multiplies rounding, and the comparison would be of chance.
        return Level({"w": normal(D, D) / D**0.5, "b": normal(D)}, apply)

    latents = Latents(normal(B, L, D), normal(B, L, D))
    return level(), level(), latents, normal(B, L, D)


@settings(max_examples=12, deadline=None)
@given(schedule=schedules(), seed=st.integers(0, 2**16), injected=st.booleans())
def test_equals_the_unrolled_loop_in_values_and_gradients(schedule, seed, injected):
    arrays = arguments(seed)
    arrays = arrays if injected else (*arrays[:3], None)
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
    """States to start from get gradient only if no call on their way lies outside."""
    H, L_level, latents, injection = arguments(seed)

    def loss(latents):
        result = recur(schedule, H, L_level, latents, injection)
        return (result.z_H**2).sum() + (result.z_L**2).sum()

    gradient = jax.grad(loss)(latents)
    reaches_z_H = len(schedule.gradient_L_calls) == schedule.H_cycles
    reaches_z_L = reaches_z_H and schedule.gradient_L_calls[0] == schedule.L_cycles
    assert gradient.z_H.any() == reaches_z_H
    assert gradient.z_L.any() == reaches_z_L


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

    found = jax.grad(whole)(L_level)
    expected = jax.grad(last_calls)(L_level)
    assert_close(found, expected)


def compile_gradient(schedule: Schedule):
    H, L_level, latents, injection = arguments(0)

    def loss(levels):
        return recur(schedule, *levels, latents, injection).z_H.sum()

    return jax.jit(jax.grad(loss)).lower((H, L_level)).compile()


@pytest.mark.parametrize("cycles", [8, 64])
def test_program_size_does_not_grow_with_the_cycles(cycles):
    # Instructions alone: the text also lists stack frames, which depend on what was traced before.
    few, many = (compile_gradient(Schedule(n, n, (1,))).as_text().count(" = ") for n in (3, cycles))
    assert few > 100
    assert abs(many - few) <= 0.02 * few


def test_memory_does_not_grow_with_the_cycles_outside_the_border():
    memory = {
        compile_gradient(Schedule(n, 2, (1,))).memory_analysis().temp_size_in_bytes
        for n in (3, 8, 64)
    }
    assert len(memory) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((0, 1, (1,)), "H_cycles: expected 1 or more, got 0"),
        ((1, 0, (0,)), "L_cycles: expected 1 or more, got 0"),
        ((2, 2, ()), "gradient_L_calls: expected one or more"),
        ((1, 2, (1, 1)), "gradient_L_calls: expected at most H_cycles=1 entries"),
        ((2, 2, (3,)), "gradient_L_calls: expected entries up to L_cycles=2"),
        ((2, 2, (-1,)), r"gradient_L_calls\[0\]: expected 0 or more, got -1"),
    ],
)
def test_impossible_schedules_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Schedule(*fields)


@pytest.mark.parametrize(
    ("L_bp_cycles", "expected"),
    [
        ((), (1, 1, 1)),
        ((2,), (1, 1, 2)),
        ((0, 4), (1, 0, 4)),
        ((9, 1, 2), (4, 1, 2)),
        ((3, 2, 1, 0), (3, 2, 1)),
    ],
)
def test_border_from_L_bp_cycles_pads_with_ones_on_the_left(L_bp_cycles, expected):
    assert Schedule.from_L_bp_cycles(3, 4, L_bp_cycles) == Schedule(3, 4, expected)


@pytest.mark.parametrize("H_cycles", [1, 2, 3])
@pytest.mark.parametrize("L_cycles", [1, 3])
def test_border_from_a_number_of_calls_counts_each_level_from_the_end(H_cycles, L_cycles):
    """Against every call numbered: the last of each level, the high one first, then the low."""
    for calls in range(2, H_cycles * (L_cycles + 1) + 1):
        schedule = Schedule.from_gradient_calls(H_cycles, L_cycles, calls)
        H_calls = min(H_cycles, calls - 1)
        first_L = H_cycles * L_cycles - (calls - H_calls)
        inside = [
            sum(first_L <= cycle * L_cycles + call for call in range(L_cycles))
            for cycle in range(H_cycles)
        ]
        assert schedule.gradient_L_calls == tuple(inside[H_cycles - H_calls :])
        assert sum(inside) + H_calls == calls


@pytest.mark.parametrize("calls", [0, 1, 9])
def test_an_impossible_number_of_calls_is_refused(calls):
    with pytest.raises(ValueError, match=f"expected 2 to 8 calls with gradient, .*, got {calls}"):
        Schedule.from_gradient_calls(2, 3, calls)


def test_border_warms_up_in_equal_stretches():
    warmup = BorderWarmup()  # 2 to 5 over the first 20 %
    found = [warmup.calls(step, 1500) for step in (0, 99, 100, 199, 200, 299, 300, 301, 1499)]
    assert found == [2, 2, 3, 3, 4, 4, 5, 5, 5]
    assert BorderWarmup(share=0).calls(0, 1500) == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((1, 5, 0.2), "min_calls: expected 2 or more, got 1; HRM has 2"),
        ((5, 2, 0.2), "max_calls: expected min_calls=5 or more, got 2"),
        ((2, 5, -0.1), "share: expected 0 to 1, got -0.1"),
        ((2, 5, 1.1), "share: expected 0 to 1, got 1.1"),
    ],
)
def test_an_impossible_warmup_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        BorderWarmup(*fields)


def remembering(name: str) -> Level:
    """A level that adds the call's memory, and keeps who saw what."""

    def apply(params, hidden, injection, memory):
        return jnp.tanh((hidden + injection) @ params + memory), (name, memory)

    return Level(jax.random.normal(jax.random.key(len(name)), (D, D)), apply)


def test_each_call_has_a_memory_of_its_own_in_the_order_of_the_calls():
    schedule = Schedule(2, 3, (1,))
    H = remembering("high")
    L_level = remembering("l")
    memory = [jnp.full((B, L, D), 0.1 * call) for call in range(8)]
    _, _, latents, _ = arguments(0)
    found, kept = recur_with_memory(schedule, H, L_level, latents, memory)
    assert "".join(name[0] for name, _ in kept) == "lllhlllh"
    z_H = latents.z_H
    z_L = latents.z_L
    rest = iter(memory)
    for _ in range(2):
        for _ in range(3):
            z_L, _ = L_level(z_L, z_H, next(rest))
        z_H, _ = H(z_H, z_L, next(rest))
    assert_close(found, Latents(z_H, z_L))
    for (_, seen), own in zip(kept, memory, strict=True):
        np.testing.assert_array_equal(seen, own)


def test_without_anything_to_remember_it_is_the_same_recurrence():
    H, L_level, latents, _ = arguments(0)

    def forgetful(level: Level) -> Level:
        return Level(level.params, lambda params, h, e, memory: (apply(params, h, e), memory))

    schedule = Schedule(3, 2, (1,))
    found, _ = recur_with_memory(schedule, forgetful(H), forgetful(L_level), latents, [None] * 9)
    assert_close(found, recur(schedule, H, L_level, latents))


def test_a_missing_memory_is_refused():
    H, L_level, latents, _ = arguments(0)
    with pytest.raises(ValueError, match="expected a memory for each of 8 calls, got 7"):
        recur_with_memory(Schedule(2, 3, (1,)), H, L_level, latents, [None] * 7)
