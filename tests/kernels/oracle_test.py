"""Attention against independent implementations: PyTorch's, and those that come with JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

import hrm_kernels
from experiments.benchmarks import shipped_attention
from hrm_kernels import cases, reference
from tests.kernels.paths import PATHS

pytestmark = pytest.mark.oracle

# Values and gradients of standard normal operands; each side is some float32 roundings off.
TOLERANCE = 2e-5
TABLE = (
    cases.Case(82, N=2, M=2, K=32),
    cases.Case(120, N=4, M=2, K=16, mask="causal"),
    cases.Case(97, N=2, M=1, K=64, mask="packed_prefix"),
)
ALIGNED = cases.Case(256, N=2, M=1, K=128, mask="causal")


def values_and_gradients(attend, data: cases.Example) -> list[np.ndarray]:
    out, pullback = jax.vjp(jax.jit(attend), *data.operands)
    return [np.asarray(x) for x in (out, *pullback(data.cotangents[0]))]


def ours(name: str, data: cases.Example) -> list[np.ndarray]:
    interpret = not name.startswith("xla")
    attend = functools.partial(
        hrm_kernels.attention, mask=data.mask, backend=name, interpret=interpret
    )
    return values_and_gradients(attend, data)


def assert_close(found, expected) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def by_torch(data: cases.Example, case: cases.Case) -> list[np.ndarray]:
    """`scaled_dot_product_attention`, with grouped heads and the mask as a dense array."""
    import torch

    tensors = [torch.from_numpy(np.array(x)).transpose(1, 2) for x in data.operands]
    leaves = [tensor.requires_grad_() for tensor in tensors]
    pairs = reference.allowed(data.mask, case.B, case.T, case.keys)[:, None]
    out = torch.nn.functional.scaled_dot_product_attention(
        *leaves, attn_mask=torch.from_numpy(pairs), enable_gqa=True
    )
    cotangent = torch.from_numpy(np.array(data.cotangents[0])).transpose(1, 2)
    gradients = torch.autograd.grad(out, leaves, cotangent)
    return [x.detach().transpose(1, 2).numpy() for x in (out, *gradients)]


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("name", PATHS)
def test_equals_pytorch(name, case):
    data = cases.example(case)
    assert_close(ours(name, data), by_torch(data, case))


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("name", PATHS)
def test_equals_jax_nn(name, case):
    data = cases.example(case)
    pairs = jnp.asarray(reference.allowed(data.mask, case.B, case.T, case.keys))[:, None]
    attend = functools.partial(jax.nn.dot_product_attention, mask=pairs)
    assert_close(ours(name, data), values_and_gradients(attend, data))


@pytest.mark.parametrize("name", ["tpu_tiled", "tpu_resident", "xla_blocked"])
def test_equals_the_tpu_kernels_that_jax_ships(name):
    """Flash and splash attention, interpreted, at a length that they take."""
    data = cases.example(ALIGNED)
    found = ours(name, data)
    with pltpu.force_tpu_interpret_mode():
        flash = functools.partial(shipped_attention.flash, causal=True)
        assert_close(found, values_and_gradients(flash, data))
    splash = functools.partial(shipped_attention.splash, causal=True, interpret=True)
    assert_close(found, values_and_gradients(splash, data))
