"""The Mosaic kernels compiled for H100; `.[test,aot-gpu]` on Python 3.12 or newer."""

import functools

import jax
import jax.numpy as jnp
import pytest

import hrm_kernels
from experiments.benchmarks import aot, aot_cases, aot_targets
from experiments.benchmarks.aot_cases import AotCase
from hrm_kernels import mosaic_blocks, mosaic_quantized
from hrm_kernels.quantized_matrix import ACCELERATOR

H100 = aot_targets.TARGETS["h100"]
pytestmark = [
    pytest.mark.aot,
    pytest.mark.skipif(
        mosaic_blocks.plgpu is None or not aot_targets.is_installed(H100),
        reason="compiles with the extra aot-gpu on Python 3.12 or newer",
    ),
]
SHAPES = ("hrm_small_82", "hrm_82", "trm_97")
LONG = ("hrm_text_4096", "smollm2_8192", "code_32768", "code_131072")
ODD = AotCase("odd", mask="packed", B=2, T=1021, N=4, M=2, K=128, dtype="float16")
"""No multiple of 8, so blocks pass through registers; few programs, so keys are split."""
NARROW = AotCase("narrow", mask="packed", B=4, T=1024, N=8, M=8, K=32)
MASKED = AotCase("masked", mask="causal", B=8, T=128, N=8, M=4, K=128, dtype="float16", rope=True)


@pytest.fixture(autouse=True)
def default_precision():
    """The products that models ask for, not the tests' exact ones."""
    with jax.default_matmul_precision("default"):
        yield


@pytest.mark.parametrize("part", aot.PASSES)
@pytest.mark.parametrize("case", [*(aot_cases.CASES[name] for name in SHAPES), MASKED], ids=str)
def test_short_sequences_are_one_kernel_a_pass(case, part):
    """No copy of an operand beside it: only sums of rows, masks and tables in blocks of 64."""
    compiled = aot.compile_case(H100, case, aot_cases.ours(case, "mosaic"), part)
    assert compiled.num_kernels == (1 if part == "forward" else 2)
    row_bytes = 4 * case.B * 128 * case.N
    result_bytes = case.B * case.T * case.N * case.K * jnp.dtype(case.dtype).itemsize
    kept = 0 if part == "forward" else result_bytes  # the forward pass's result
    assert compiled.temporary_bytes <= kept + 4 * row_bytes + (1 << 20)


@pytest.mark.parametrize("part", aot.PASSES)
@pytest.mark.parametrize("case", [*(aot_cases.CASES[name] for name in LONG), ODD, NARROW], ids=str)
def test_long_sequences_are_three_kernels_without_scores_in_memory(case, part):
    compiled = aot.compile_case(H100, case, aot_cases.ours(case, "mosaic_tiled"), part)
    assert compiled.num_kernels == (1 if part == "forward" else 3)
    result_bytes = case.B * case.T * case.N * case.K * jnp.dtype(case.dtype).itemsize
    # The log-sum-exp, the mask's ranges, and bounds of blocks; with few queries, parts of results.
    allowed = 4 * case.B * case.T * (case.N + 8) + (1 << 20)
    allowed += 4 * 2 * result_bytes if case.B * case.T < 4096 else 0
    # The forward pass's result, its log-sum-exp, and what the scores' gradient subtracts.
    allowed += 0 if part == "forward" else result_bytes + 16 * case.B * case.T * (case.N + 8)
    assert compiled.temporary_bytes <= allowed


@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("name", ["decode_code", "decode_smollm2", "decode_hrm_text"])
def test_decoding_is_one_kernel_that_updates_the_cache_in_place(name, T):
    case = aot_cases.DECODERS[name]
    decode = functools.partial(hrm_kernels.decode_attention, backend="mosaic_tiled")
    compiled = aot.compile_decoder(H100, case, decode, T)
    assert compiled.num_kernels == 1
    assert compiled.aliased_bytes >= case.floor_bytes
    assert compiled.temporary_bytes <= case.floor_bytes / 8 + (1 << 20)


@pytest.mark.parametrize("rows", [1, 8, 512])
@pytest.mark.parametrize(
    "name", ["code_key", "code_gate", "code_down", "code_tokens", "smollm2_query", "smollm2_down"]
)
def test_quantised_products_are_one_kernel_that_reads_the_matrix_as_it_is(name, rows):
    case = aot_cases.QUANTIZED[name]
    operands = case.operands(rows, "bfloat16")
    product = functools.partial(hrm_kernels.quantized_product, backend="mosaic")
    compiled = aot_targets.compile_for(H100, product, *operands)
    assert compiled.num_kernels == 1
    # Results of parts of the inputs, in float32; neither activations nor matrix is copied.
    outputs = ACCELERATOR.panel * mosaic_quantized.PROGRAMS
    assert compiled.temporary_bytes <= 4 * min(rows, mosaic_quantized.MOST_ROWS) * outputs


def test_the_automatic_choice_for_h100_stays_with_triton():
    case = aot_cases.CASES["hrm_82"]
    attend = aot_cases.ours(case, "gpu_resident")
    assert aot.compile_case(H100, case, attend, "forward").num_kernels == 1
