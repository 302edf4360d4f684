"""The entry point: what it checks, which path it takes, and what surrounds the paths."""

import dataclasses
import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import cases, choice, reference
from hrm_kernels.choice import FAMILIES, PATHS, choose
from hrm_kernels.device import Device
from hrm_kernels.operands import Case, rotate

HRM = Case(T=82, S=82, N=8, M=8, K=32, dtype="bfloat16")
LONG = Case(T=32768, S=32768, N=8, M=2, K=128, dtype="bfloat16", masked=True)


@pytest.mark.parametrize(
    ("platform", "case", "expected"),
    [
        ("cpu", HRM, "xla_short"),
        ("mps", HRM, "xla_short"),
        ("cpu", LONG, "xla_blocked"),
        ("tpu", HRM, "tpu_resident"),
        ("tpu", LONG, "tpu_tiled"),
        ("gpu", HRM, "gpu_resident"),
        ("gpu", LONG, "gpu_tiled"),
    ],
)
def test_each_platform_has_its_path(platform, case, expected):
    assert choose(case, platform, None) == (expected, False)


@pytest.mark.parametrize("precision", ["highest", "float32"])
def test_exact_products_of_float32_are_left_to_xla_on_gpu(precision):
    wide = dataclasses.replace(HRM, dtype="float32")
    with jax.default_matmul_precision("default"):
        assert choose(wide, "gpu", None)[0] == "gpu_resident"
    with jax.default_matmul_precision(precision):
        assert choose(wide, "gpu", None)[0] == "xla_blocked"
        assert choose(wide, "gpu", "gpu")[0] == "gpu_resident"  # who asks for it gets it
        assert choose(wide, "tpu", None)[0] == "tpu_resident"
        assert choose(HRM, "gpu", None)[0] == "gpu_resident"


def test_no_platform_takes_a_quadratic_path_for_long_sequences():
    for platform in ("cpu", "tpu", "gpu", "mps", "rocm"):
        for dtype in ("float32", "bfloat16", "float16"):
            case = Case(T=131072, S=131072, N=9, M=3, K=80, dtype=dtype)
            assert choose(case, platform, None)[0] in {"xla_blocked", "tpu_tiled", "gpu_tiled"}


def test_a_family_and_the_interpreter_can_be_forced():
    assert choose(LONG, "cpu", "tpu") == ("tpu_tiled", False)
    assert choose(HRM, "cpu", "interpret") == ("tpu_resident", True)
    assert choose(HRM, "tpu", "xla_blocked") == ("xla_blocked", False)


def test_the_choice_is_logged(caplog):
    with caplog.at_level(logging.INFO, "hrm_kernels"):
        choose(LONG, "cpu", None)
    assert "T=32768" in caplog.text
    assert "xla_blocked; xla_short: holds all scores" in caplog.text


def test_falling_back_from_a_kernel_warns_once(caplog):
    half = Case(T=8, S=8, N=3, M=1, K=24, dtype="float16")
    choice.warn_of_fallback.cache_clear()
    for _ in range(2):
        assert choose(half, "tpu", None)[0] == "xla_blocked"
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "attention on tpu falls back to XLA: TPUs have no float16 products" in warning.message
    choose(dataclasses.replace(half, dtype="float32"), "tpu", None)
    choose(LONG, "cpu", None)
    with jax.default_matmul_precision("highest"):  # a preference, not a refusal
        choose(dataclasses.replace(HRM, dtype="float32"), "gpu", None)
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 1


H100 = Device("cuda", (9, 0))


def shapes(T: int, S: int, N: int, M: int, K: int, dtype: str = "bfloat16"):
    query = jax.ShapeDtypeStruct((2, T, N, K), dtype)
    key = jax.ShapeDtypeStruct((2, S, M, K), dtype)
    return query, key, key


def test_explain_returns_the_path_and_the_refusals_before_it():
    found = hrm_kernels.explain(
        *shapes(32768, 32768, 8, 2, 128), hrm_kernels.Mask(causal=True), device=H100
    )
    assert found.path == "gpu_tiled"
    assert list(found.refusals) == ["gpu_resident"]
    assert "holds all keys of a head: up to 128" in found.refusals["gpu_resident"]
    assert found.case == dataclasses.replace(LONG, generation="hopper")
    assert "generation='hopper') on cuda: gpu_tiled; gpu_resident: holds all" in str(found)


@pytest.mark.parametrize(
    ("K", "M", "capability", "dtype", "reason"),
    [
        (64, 2, (8, 9), "float32", None),
        (128, 8, (9, 0), "float32", None),
        (128, 2, (8, 9), "bfloat16", None),
        (128, 2, (9, 0), "float32", "float32 heads above 64 take too much shared memory with gr"),
        (128, 8, (8, 9), "float32", "too much shared memory on a card of ada; use gpu_tiled"),
    ],
)
def test_what_has_no_room_in_shared_memory_goes_to_the_tiled_kernel(
    K, M, capability, dtype, reason
):
    with jax.default_matmul_precision("default"):
        found = hrm_kernels.explain(
            *shapes(82, 82, 8, M, K, dtype), device=Device("cuda", capability)
        )
    assert found.path == ("gpu_resident" if reason is None else "gpu_tiled")
    assert reason is None or reason in found.refusals["gpu_resident"]


def test_explain_shows_where_no_path_serves():
    found = hrm_kernels.explain(*shapes(8, 8, 2, 1, 16, "float16"), backend="tpu")
    assert found.path is None
    assert set(found.refusals) == {"tpu_resident", "tpu_tiled"}
    assert all("float16" in reason for reason in found.refusals.values())


def test_explain_agrees_with_the_choice_and_compiles_nothing(caplog):
    caplog.set_level(logging.INFO, "hrm_kernels")
    found = hrm_kernels.explain(*DATA.operands)
    assert found.path == choose(Case(7, 7, 2, 1, 16, "float32"), "cpu", None)[0] == "xla_short"
    assert not found.case.masked
    assert len(caplog.records) == 1  # the choice's own
    jaxpr = jax.make_jaxpr(lambda x: (hrm_kernels.explain(x, x, x), x)[1])(DATA.operands[1])
    assert not jaxpr.eqns


def test_explain_checks_its_arguments():
    query, key, value = shapes(8, 8, 2, 1, 16)
    with pytest.raises(ValueError, match="equal in B and K"):
        hrm_kernels.explain(query, key, shapes(8, 9, 2, 1, 16)[2])
    with pytest.raises(ValueError, match=r"mask.lengths: expected shape \(2,\)"):
        hrm_kernels.explain(query, key, value, hrm_kernels.Mask(lengths=jnp.zeros(3, jnp.int32)))
    with pytest.raises(ValueError, match="expected None or one of"):
        hrm_kernels.explain(query, key, value, backend="fast")


def test_a_forced_path_says_why_it_cannot_serve():
    with pytest.raises(
        hrm_kernels.UnsupportedError, match=r"xla_short: holds all scores.*xla_blocked"
    ):
        choose(LONG, "cpu", "xla_short")
    half = Case(T=8, S=8, N=1, M=1, K=16, dtype="float16")
    with pytest.raises(hrm_kernels.UnsupportedError, match="float16"):
        choose(half, "tpu", "tpu")


def test_an_unknown_backend_names_those_known():
    with pytest.raises(
        ValueError, match=r"one of \['xla', 'tpu', 'gpu', 'mosaic', 'mps', 'interpret', .*'fast'"
    ):
        choose(HRM, "cpu", "fast")


def test_every_path_is_of_one_family():
    assert len(set(PATHS)) == len(PATHS) == sum(map(len, FAMILIES.values()))


DATA = cases.example(cases.Case(7, N=2, M=1, K=16))


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_everything_is_attended_to_by_default():
    assert_close(hrm_kernels.attention(*DATA.operands), reference.attention(*DATA.operands).out)


def test_scale_replaces_the_default():
    found = hrm_kernels.attention(*DATA.operands, scale=0.7)
    assert_close(found, reference.attention(*DATA.operands, scale=0.7).out)
    default = hrm_kernels.attention(*DATA.operands)
    np.testing.assert_array_equal(hrm_kernels.attention(*DATA.operands, scale=0.25), default)
    assert np.abs(found - default).max() > 0.01


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [-0.7, 0.0])
def test_scores_may_shrink_or_vanish(scale, causal):
    """The softmax of a negative scale has its largest weight at the smallest product."""
    mask = hrm_kernels.Mask(causal=causal)
    attend = functools.partial(hrm_kernels.attention, mask=mask, scale=scale, return_lse=True)
    (out, lse), pullback = jax.vjp(attend, *DATA.operands)
    expected = reference.attention(*DATA.operands, mask=mask, scale=scale)
    assert_close(out, expected.out)
    assert_close(lse, expected.lse)
    exact = reference.gradients(*DATA.operands, *DATA.cotangents, mask=mask, scale=scale)
    for found, gradient in zip(pullback(DATA.cotangents), exact, strict=True):
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", ["xla_short", "xla_blocked", "interpret"])
def test_rope_turns_queries_and_keys_first(backend):
    """Values and gradients equal those of attention after a rotation outside."""
    case = cases.Case(82, N=2, M=1, K=16)
    data = cases.example(case)
    angles = np.outer(np.arange(82), 1e4 ** (-np.arange(8) / 8)).astype(np.float32)
    angles = np.concatenate([angles, angles], axis=-1)
    rope = hrm_kernels.Rope(np.cos(angles), np.sin(angles))

    def outside(query, key, value):
        return hrm_kernels.attention(rotate(query, rope), rotate(key, rope), value)

    inside = functools.partial(hrm_kernels.attention, rope=rope, backend=backend)
    for function in (outside, inside):
        out, pullback = jax.vjp(jax.jit(function), *data.operands)
        results = out, *pullback(data.cotangents[0])
        expected = results if function is outside else expected
        for ours, theirs in zip(results, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("backend", ["xla_blocked", "tpu_tiled", "gpu_tiled"])
def test_residuals_are_linear_in_the_length(backend):
    """What the forward pass keeps for the backward pass, at T and at 4 T."""

    def residual_bytes(T: int) -> int:
        operands = [jax.ShapeDtypeStruct((1, T, 1, 16), jnp.float32)] * 3
        attend = functools.partial(
            hrm_kernels.attention,
            mask=hrm_kernels.Mask(causal=True),
            backend=backend,
            interpret=True,
        )
        _, pullback = jax.eval_shape(lambda *x: jax.vjp(attend, *x), *operands)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pullback))

    assert residual_bytes(4096) <= 4 * residual_bytes(1024) + 1024


def test_reference_is_an_average_by_hand():
    """Two keys whose scores differ by log 3 weigh 1/4 and 3/4."""
    query = np.ones((1, 1, 1, 1))
    key = np.array([0.0, np.log(3)]).reshape(1, 2, 1, 1)
    value = np.array([4.0, 8.0]).reshape(1, 2, 1, 1)
    result = reference.attention(query, key, value)
    np.testing.assert_allclose(result.out[0, 0, 0, 0], 7, rtol=1e-15)
    np.testing.assert_allclose(result.lse[0, 0, 0], np.log(4), rtol=1e-15)


def test_reference_gradients_are_its_slopes():
    """Central differences along a random direction; their error is of the order of step^2."""
    data = cases.example(cases.Case(9, N=4, M=2, K=16, mask="causal_lengths"))
    arrays = [np.asarray(x, np.float64) for x in data.operands]
    cotangents = [np.asarray(x, np.float64) for x in data.cotangents]
    directions = [np.random.default_rng(i).standard_normal(x.shape) for i, x in enumerate(arrays)]
    step = 1e-5

    def loss(sign):
        moved = (x + sign * step * d for x, d in zip(arrays, directions, strict=True))
        result = reference.attention(*moved, mask=data.mask)
        lse = np.where(np.isfinite(result.lse), result.lse, 0)
        return (result.out * cotangents[0]).sum() + (lse * cotangents[1]).sum()

    slope = (loss(1) - loss(-1)) / (2 * step)
    gradients = reference.gradients(*arrays, *cotangents, mask=data.mask)
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(slope, expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3, 4), (2, 3, 4), (2, 3, 4)), r"expects query \[B, T, N, K\]"),
        (((2, 3, 1, 4), (2, 3, 1, 4), (2, 5, 1, 4)), "equal in B and K, and in S"),
        (((1, 3, 1, 4), (2, 3, 1, 4), (2, 3, 1, 4)), "equal in B and K, and in S"),
        (((2, 3, 1, 8), (2, 3, 1, 4), (2, 3, 1, 4)), "equal in B and K, and in S"),
        (((2, 3, 2, 4), (2, 3, 3, 4), (2, 3, 3, 4)), "multiple of key heads"),
        (((2, 0, 1, 4), (2, 3, 1, 4), (2, 3, 1, 4)), "no empty axis"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        hrm_kernels.attention(*(jnp.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16", "float32"), ("int32",) * 3])
def test_dtypes_that_do_not_fit_are_refused(dtypes):
    with pytest.raises(ValueError, match=r"one dtype of .*: cast them first"):
        hrm_kernels.attention(*(jnp.zeros((1, 2, 1, 4), dtype) for dtype in dtypes))


@pytest.mark.parametrize(
    ("cos", "sin"), [((6, 16), (6, 16)), ((7, 8), (7, 8)), ((7, 16), (16,)), ((7, 16), (7, 1))]
)
def test_rope_tables_that_do_not_fit_are_refused(cos, sin):
    tables = hrm_kernels.Rope(jnp.ones(cos), jnp.ones(sin))
    with pytest.raises(ValueError, match=r"rope tables \[L, K\]"):
        hrm_kernels.attention(*DATA.operands, rope=tables)
