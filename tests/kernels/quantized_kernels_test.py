"""The quantised products of TPU and GPU in Pallas' interpreter, beside float64."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import gpu_quantized, quantized_cases, tpu_quantized
from hrm_kernels.quantized_cases import FORMS, share_of_allowed
from hrm_kernels.quantized_matrix import ACCELERATOR, CPU, PLANES
from hrm_kernels.quantized_rows import BFLOAT16, FIELDS, FLOAT16, Slot

KERNELS = ("tpu", "gpu")
SOON_COMPILED = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
"""Interpreted kernels take longer to compile than to run."""
V = 130
"""Outputs: a panel, and two outputs of another."""


@functools.cache
def made(name, V=V, D=None):
    """Returns an example; where D is free, its last step and its last tiles are not full."""
    return quantized_cases.example(FORMS[name], V, D or (256 if FORMS[name].nested else 160))


@functools.cache
def product(backend):
    function = functools.partial(hrm_kernels.quantized_product, backend=backend, interpret=True)
    return jax.jit(function, compiler_options=SOON_COMPILED)


def share(backend, name, rows, dtype: Any = "float32", **sizes):
    """Returns the error of a product as a share of the allowed one."""
    example = made(name, **sizes)
    x = quantized_cases.activations(rows, example.matrix.inputs).astype(dtype)
    got = np.asarray(product(backend)(jnp.asarray(x), example.matrix))
    assert got.dtype == dtype
    return share_of_allowed(got, x, example)


@pytest.mark.parametrize(("half", "dtype"), [(BFLOAT16, "bfloat16"), (FLOAT16, "float16")])
@pytest.mark.parametrize("bits", FIELDS)
def test_fields_become_numbers_without_a_conversion(bits, half, dtype):
    """Words of random bits; as in Mosaic's kernel, with outputs in rows."""
    rng = np.random.default_rng(bits)
    planes = [rng.integers(0, 2**32, (3, 16), np.uint32) for _ in PLANES[bits]]
    for s, field in itertools.product(range(4), FIELDS[bits]):
        slot = Slot(4, jnp.int32(1), s)
        words = field.numbers(bits, slot, lambda plane, _: jnp.asarray(planes[plane]), half)
        found = np.asarray(words).view(np.uint16).view(jnp.dtype(dtype)).astype(int)
        expected = np.full((3, 32), 2**field.bits)
        for piece in field.pieces:
            _, begin = slot.place(PLANES[bits][piece.plane])
            codes = planes[piece.plane].view(np.uint16) >> (int(begin) + piece.begin)
            expected += (codes & ((1 << piece.bits) - 1)).astype(int) << piece.at
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def fresh():
    """Forgets compiled programs, which do not know of what a test changes."""
    product.cache_clear()
    yield
    product.cache_clear()


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("backend", KERNELS)
def test_every_format_errs_by_float32_sums_alone(backend, name):
    assert share(backend, name, rows=3) < 1


@pytest.mark.parametrize(("backend", "dtype"), [("tpu", "bfloat16"), ("gpu", "float16")])
def test_activations_in_16_bits_are_exact(backend, dtype):
    assert share(backend, "Q5_1", rows=2, dtype=jnp.dtype(dtype)) < 1


def test_two_parts_of_float32_have_16_bits(fresh):
    with jax.default_matmul_precision("default"):
        found = share("tpu", "Q8_0", rows=2)
    # More than a bound for three parts would be, so that the test sees two.
    assert 0.02 < found < 1


@pytest.mark.parametrize("backend", KERNELS)
def test_blocks_of_rows_of_panels_and_of_inputs(backend, monkeypatch, fresh):
    monkeypatch.setattr(tpu_quantized, "ROWS", 8)
    monkeypatch.setattr(tpu_quantized, "BLOCK_BYTES", 1)
    monkeypatch.setattr(gpu_quantized, "ROWS", 8)
    monkeypatch.setattr(gpu_quantized, "PROGRAMS", 40)
    assert share(backend, "Q5_0", rows=13, V=264, D=704) < 1


@pytest.mark.parametrize("backend", KERNELS)
def test_what_is_not_finite_spoils_its_own_row_alone(backend):
    example = made("Q4_1")
    x = quantized_cases.activations(3, example.matrix.inputs)
    clean = np.asarray(product(backend)(x, example.matrix))
    x[1, 40] = np.nan
    x[2, 7] = np.inf
    got = np.asarray(product(backend)(x, example.matrix))
    assert not np.isfinite(got[1:]).any()
    np.testing.assert_array_equal(got[:1], clean[:1])


def test_activations_get_the_gradient_of_the_widened_matrix():
    example = made("Q4_1")
    x = jnp.ones((2, 3, example.matrix.inputs))
    d_out = np.random.default_rng(5).standard_normal((2, 3, V)).astype(np.float32)
    function = functools.partial(hrm_kernels.quantized_product, backend="tpu", interpret=True)
    _, pull = jax.vjp(lambda x: function(x, example.matrix), x)
    (d_x,) = pull(jnp.asarray(d_out))
    np.testing.assert_allclose(d_x, d_out @ example.weights, rtol=1e-4, atol=1e-3)


def test_a_matrix_in_another_layout_is_refused():
    matrix = quantized_cases.example(FORMS["Q4_0"], 16, 32, CPU).matrix
    for backend in KERNELS:
        with pytest.raises(hrm_kernels.UnsupportedError, match="pack the matrix in that layout"):
            product(backend)(jnp.ones((1, 32)), matrix)
    other = quantized_cases.example(FORMS["Q4_0"], 16, 32, ACCELERATOR).matrix
    with pytest.raises(hrm_kernels.UnsupportedError, match="'cpu' reads"):
        hrm_kernels.quantized_product(jnp.ones((1, 32)), other, backend="cpu")
    # By itself, the choice goes to XLA, which reads any.
    got = hrm_kernels.quantized_product(jnp.ones((1, 32)), other)
    np.testing.assert_allclose(got, hrm_kernels.dequantize(other).sum(1)[None], rtol=1e-4)


@pytest.mark.parametrize(
    ("platform", "expected"), [("tpu", "tpu"), ("gpu", "gpu"), ("cuda", "gpu")]
)
def test_the_platform_chooses(platform, expected, monkeypatch):
    called = []
    module = {"tpu": tpu_quantized, "gpu": gpu_quantized}[expected]
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    monkeypatch.setattr(module, "product", lambda x, *_, **__: called.append(1) or x[:, :V])
    assert hrm_kernels.layout_of(platform) == ACCELERATOR
    assert hrm_kernels.refuses_quantized() is None
    assert not hrm_kernels.rows_are_independent()
    matrix = made("Q4_0").matrix
    hrm_kernels.quantized_product(jnp.ones((1, matrix.inputs)), matrix)
    assert called


def test_a_platform_without_kernels_widens(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "metal")
    assert "not for metal" in str(hrm_kernels.refuses_quantized())
    assert hrm_kernels.layout_of("metal") == CPU


def test_shapes_alone_tell_the_bytes():
    for name, form in FORMS.items():
        matrix = made(name).matrix
        shapes = quantized_cases.shapes(form, *matrix.shape)
        assert shapes == jax.eval_shape(lambda x: x, jax.tree.map(jnp.asarray, matrix))
        assert shapes.nbytes == matrix.nbytes
