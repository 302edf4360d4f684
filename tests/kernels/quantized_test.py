"""Quantised matrices: what they widen to, and their product beside float64."""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import native, quantized_cases
from hrm_kernels.quantized_cases import FORMS
from hrm_kernels.quantized_matrix import ACCELERATOR, CPU, UNIT

V = 200
"""Outputs: the last panel is not full."""
D = 512
ROWS = 13
MACHINES = ["native", "x86-64", "x86-64-v3"]
"""What the C++ kernel is compiled for: this machine, and others whose code is another."""
ROUNDING = 0.5 / 127
"""Largest error of an activation, as a share of the largest in its group."""

needs_kernel = pytest.mark.skipif(
    hrm_kernels.refuses_quantized() is not None, reason="no C++ compiler"
)


def made(form, layout=CPU):
    """Returns a random matrix in a format, and its elements in float64."""
    example = quantized_cases.example(form, V, D, layout)
    return example.matrix, example.weights


def activations(rows=ROWS):
    return quantized_cases.activations(rows, D)


@functools.cache
def product(backend):
    return jax.jit(functools.partial(hrm_kernels.quantized_product, backend=backend))


def assert_within_rounding(got, x, exact, group):
    """Each activation is off by half a step of its group at most; the sums are float32."""
    largest = np.abs(x.reshape(len(x), -1, group)).max(-1)
    steps = np.repeat(largest, group, 1) * ROUNDING
    bound = steps @ np.abs(exact).T
    slack = 1e-5 * (np.abs(x).astype(np.float64) @ np.abs(exact).T)
    assert (np.abs(got - x.astype(np.float64) @ exact.T) <= bound + slack).all()


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
@pytest.mark.parametrize("layout", [CPU, ACCELERATOR], ids=["cpu", "accelerator"])
def test_elements_are_widened_exactly(form, layout):
    matrix, exact = made(form, layout)
    np.testing.assert_allclose(hrm_kernels.dequantize(matrix), exact, rtol=1e-6, atol=1e-6)
    assert matrix.shape == (V, D)
    wanted = np.array([[3, 199], [16, 17]])
    rows = hrm_kernels.take_rows(matrix, jnp.asarray(wanted))
    np.testing.assert_array_equal(rows, np.asarray(hrm_kernels.dequantize(matrix))[wanted])


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_a_matrix_takes_its_bits_and_little_more(form):
    bits, group, offset, nested = form
    factor = (8 / group + 16 / UNIT) if nested else 16 / group
    expected = bits + factor * (2 if offset else 1)
    matrix, _ = made(form)
    panels = -(-V // CPU.panel) * CPU.panel
    assert matrix.nbytes * 8 == pytest.approx(expected * panels * D)


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_xla_multiplies_the_widened_matrix(form):
    matrix, exact = made(form)
    x = activations()
    scale = np.abs(x).astype(np.float64) @ np.abs(exact).T
    got = product("xla")(x, matrix)
    assert (np.abs(got - x.astype(np.float64) @ exact.T) <= 1e-5 * scale + 1e-30).all()


@needs_kernel
@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_the_kernel_errs_by_the_rounding_of_activations(form):
    matrix, exact = made(form)
    x = activations()
    assert_within_rounding(np.asarray(product("cpu")(x, matrix)), x, exact, form.group)


@needs_kernel
@pytest.mark.skipif(native.platform.machine() != "x86_64", reason="for these processors")
@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("machine", MACHINES[1:])
def test_other_machines_code_gives_the_same_integers(machine, monkeypatch):
    name = native.QUANTIZED_PRODUCT
    built = native.build(name, shutil.which("c++") or "g++", machine)
    native.register(built, name, f"product_{machine}")
    x = activations()
    for form in FORMS.values():
        matrix, exact = made(form)
        with monkeypatch.context() as patch:
            patch.setattr(native, "QUANTIZED_PRODUCT", f"product_{machine}")
            got = np.asarray(hrm_kernels.quantized_product(jnp.asarray(x), matrix, backend="cpu"))
        assert_within_rounding(got, x, exact, form.group)
        # Only the float32 sums are rounded in another way: without fused additions.
        size = np.abs(x).astype(np.float64) @ np.abs(exact).T
        np.testing.assert_array_less(
            np.abs(got - np.asarray(product("cpu")(x, matrix))), 1e-5 * size + 1e-30
        )


@needs_kernel
@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_a_row_gives_the_same_bits_alone_and_beside_others(form):
    matrix, _ = made(form)
    x = activations(rows=17)
    whole = np.asarray(product("cpu")(x, matrix))
    for first, end in [(0, 1), (3, 5), (5, 8), (1, 12), (16, 17)]:
        part = np.asarray(product("cpu")(x[first:end], matrix))
        np.testing.assert_array_equal(part, whole[first:end])


@needs_kernel
def test_what_is_not_finite_spoils_its_own_row_alone():
    matrix, _ = made(FORMS["Q4_0"])
    x = activations()
    clean = np.asarray(product("cpu")(x, matrix))
    x[2, 40] = np.nan
    x[5, 7] = np.inf
    got = np.asarray(product("cpu")(x, matrix))
    assert np.isnan(got[[2, 5]]).all()
    others = [row for row in range(ROWS) if row not in (2, 5)]
    np.testing.assert_array_equal(got[others], clean[others])


@pytest.mark.parametrize(("bits", "error"), [(8, 0.5 / 127), (4, 0.5 / 15)])
def test_quantising_errs_by_half_a_step(bits, error):
    weights = np.random.default_rng(0).standard_normal((V, D)).astype(np.float32)
    weights[0] = 0
    weights[1] = 3
    groups = weights.reshape(V, -1, 32)
    span = np.abs(groups).max(-1) if bits == 8 else groups.max(-1) - groups.min(-1)
    # float16 factors add a thousandth.
    bound = np.repeat(span * error + 2e-3 * np.abs(groups).max(-1), 32, 1)
    widened = np.asarray(hrm_kernels.dequantize(hrm_kernels.quantize(weights, bits)))
    assert (np.abs(widened - weights) <= bound).all()
    assert (widened[0] == 0).all()


@pytest.mark.parametrize("backend", ["xla", pytest.param("cpu", marks=needs_kernel)])
def test_activations_get_the_gradient_of_the_widened_matrix(backend):
    matrix, exact = made(FORMS["Q4_1"])
    x = activations(3)
    d_out = np.random.default_rng(5).standard_normal((3, V)).astype(np.float32)
    _, pull = jax.vjp(lambda x: hrm_kernels.quantized_product(x, matrix, backend=backend), x)
    (d_x,) = pull(jnp.asarray(d_out))
    np.testing.assert_allclose(d_x, d_out @ exact, rtol=1e-4, atol=1e-3)


def test_what_does_not_fit_is_refused():
    matrix, _ = made(FORMS["Q4_0"])
    with pytest.raises(ValueError, match="does not fit"):
        hrm_kernels.quantized_product(jnp.zeros((2, D + 1)), matrix)
    with pytest.raises(ValueError, match="expected None"):
        hrm_kernels.quantized_product(jnp.zeros((2, D)), matrix, backend="cuda")
    with pytest.raises(hrm_kernels.UnsupportedError, match="inputs by 32"):
        hrm_kernels.quantize(np.zeros((4, 40), np.float32), 8)
    with pytest.raises(hrm_kernels.UnsupportedError, match="4 or 8 bits"):
        hrm_kernels.quantize(np.zeros((4, 64), np.float32), 3)
