"""Every implementation against the float64 oracle, over the shared table of cases."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import cases, gpu_tiled, reference, tpu_blocks, xla_blocked
from hrm_kernels.choice import path
from hrm_kernels.operands import Case
from tests.kernels.paths import PATHS


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks so small that sequences of the table take several."""
    monkeypatch.setattr(xla_blocked, "BLOCK", 128)
    monkeypatch.setattr(tpu_blocks, "HELD", 256)
    monkeypatch.setattr(tpu_blocks, "STREAMED", 128)
    monkeypatch.setattr(gpu_tiled, "MIN_SPLIT", 64)


def options_of(name: str) -> dict:
    """How to ask for a path on this machine."""
    return {"backend": name, "interpret": not name.startswith("xla")}


def served(name: str, case: cases.Case) -> bool:
    sizes = Case(case.T, case.keys, case.N, case.M, case.K, case.dtype, case.mask != "full")
    return path(name).refuses(sizes) is None


# All paths of a case together: its float64 values and XLA's errors are computed once a process.
SERVED = [(name, case) for case in cases.CASES for name in PATHS if served(name, case)]


@pytest.mark.thorough(every=17)
@pytest.mark.parametrize(("name", "case"), SERVED, ids=[f"{n}-{c}" for n, c in SERVED])
def test_is_as_near_to_float64_as_xla(name, case):
    cases.check(case, **options_of(name))


def test_every_path_serves_most_of_the_table():
    for name in PATHS:
        assert sum(served == name for served, _ in SERVED) >= 40, name


SMALL = cases.Case(33, N=2, M=1, K=16, mask="all", B=3)
MIXED = cases.Case(120, N=2, M=1, K=16, mask="causal_lengths", B=3)


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("name", PATHS)
def test_runs_are_bitwise_equal(name):
    first, second = (cases.compute(cases.example(MIXED), **options_of(name)) for _ in range(2))
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key], err_msg=key)


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("name", PATHS)
def test_what_the_mask_hides_does_not_leak(name, poison):
    """Keys and values that no query sees, and queries that see none, may hold anything."""
    data = cases.example(MIXED)
    B = MIXED.B
    T = MIXED.T
    S = MIXED.keys
    pairs = reference.allowed(data.mask, B, T, S)
    hidden = ~pairs.any(1)[:, :, None, None]
    dead = ~pairs.any(2)[:, :, None, None]
    assert hidden.any()
    assert dead.any()
    poisoned = dataclasses.replace(
        data,
        query=jnp.where(dead, poison, data.query),
        key=jnp.where(hidden, poison, data.key),
        value=jnp.where(hidden, poison, data.value),
        cotangents=(jnp.where(dead, poison, data.cotangents[0]), data.cotangents[1]),
    )
    clean, found = (cases.compute(example, **options_of(name)) for example in (data, poisoned))
    for key, array in found.items():
        np.testing.assert_array_equal(array, clean[key], err_msg=key)


@pytest.mark.parametrize("name", PATHS)
def test_queries_without_keys_give_zeros(name):
    data = dataclasses.replace(
        cases.example(SMALL), mask=hrm_kernels.Mask(lengths=jnp.zeros(SMALL.B, jnp.int32))
    )
    found = cases.compute(data, **options_of(name))
    assert (found.pop("lse") == -np.inf).all()
    for key, array in found.items():
        np.testing.assert_array_equal(array, np.zeros_like(array), err_msg=key)


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("name", PATHS)
def test_large_scores_neither_overflow_nor_vanish(name):
    data = cases.example(SMALL)
    data = dataclasses.replace(data, query=1e4 * data.query)
    out = hrm_kernels.attention(*data.operands, mask=data.mask, **options_of(name))
    expected = reference.attention(*data.operands, mask=data.mask).out
    np.testing.assert_allclose(out, expected, atol=3e-2)  # scores of 1e4 are rounded by 1e-3


@st.composite
def random_cases(draw) -> cases.Case:
    """Any sizes up to a few blocks, any kind of mask."""
    M = draw(st.integers(1, 3))
    T = draw(st.integers(1, 140))
    return cases.Case(
        T,
        S=T + draw(st.integers(0, 60)),
        M=M,
        N=M * draw(st.integers(1, 3)),
        K=draw(st.sampled_from([8, 16, 24, 64])),
        mask=draw(st.sampled_from(cases.MASKS)),
        dtype=draw(st.sampled_from(["float32", "bfloat16"])),
        B=draw(st.integers(1, 3)),
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", PATHS)
def test_random_cases_are_as_near_to_float64_as_xla(name):
    @hypothesis.given(random_cases())
    @hypothesis.settings(deadline=None, max_examples=6, derandomize=True)
    def check(case):
        if served(name, case):
            cases.check(case, **options_of(name))

    check()


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("name", PATHS)
def test_is_the_same_inside_vmap_scan_and_remat(name):
    data = cases.example(cases.Case(9, N=2, M=1, K=16, mask="causal"))

    def attend(query, key, value):
        return hrm_kernels.attention(query, key, value, mask=data.mask, **options_of(name))

    expected = np.asarray(jax.jit(attend)(*data.operands))
    stacked = [jnp.stack([x, -x]) for x in data.operands]
    mapped = jax.jit(jax.vmap(attend))(*stacked)
    np.testing.assert_allclose(mapped[0], expected, atol=1e-6)
    _, scanned = jax.lax.scan(lambda _, x: (None, attend(*x)), None, stacked)
    np.testing.assert_allclose(scanned[0], expected, atol=1e-6)

    def loss(function, *operands):
        return (function(*operands) * data.cotangents[0]).sum()

    plain = jax.jit(jax.grad(lambda *x: loss(attend, *x), (0, 1, 2)))(*data.operands)
    again = jax.jit(jax.grad(lambda *x: loss(jax.checkpoint(attend), *x), (0, 1, 2)))(
        *data.operands
    )
    for ours, theirs in zip(plain, again, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
