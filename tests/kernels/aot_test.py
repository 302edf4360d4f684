"""Every kernel compiled for real, for machines that are not here.

`pytest -m aot` compiles for the targets whose compiler this environment has: `.[aot-tpu]` or
`.[aot-gpu]`, each in an environment and a process of its own.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

import hrm_kernels
from experiments.benchmarks import aot, aot_cases, aot_targets
from experiments.benchmarks.aot_cases import AotCase
from hrm_jax.convert import holding
from hrm_jax.convert.llama import llama_variables, llama_weights
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_kernels import gpu_quantized

pytestmark = pytest.mark.aot
INSTALLED = [t for t in aot_targets.TARGETS.values() if aot_targets.is_installed(t)]
TARGETS = [t for t in INSTALLED if t.name not in aot_targets.OTHER_CARDS]
LENGTHS = (8192, 16384, 32768, 65536, 131072)
SLACK_BYTES = 1 << 20
SHAPES = ["hrm_small_82", "hrm_82", "hrm_82_float32", "trm_97", "hrm_text_4096"]
"""Of HRM, TRM and HRM-Text."""
PRODUCTS = [
    *((name, 1, "bfloat16") for name in aot_cases.QUANTIZED),
    *((name, 16, "float32") for name in ("code_gate", "code_down", "smollm2_key")),
    *((name, 512, "bfloat16") for name in ("code_gate", "code_down_4")),
]
"""Matrices by name, with rows of activations and their dtype."""


@pytest.fixture(autouse=True)
def default_precision():
    """The products that models ask for, not the tests' exact ones."""
    with jax.default_matmul_precision("default"):
        yield


def test_a_compiler_is_installed():
    extras = sorted({target.extra for target in aot_targets.TARGETS.values()})
    assert TARGETS, f"pip install -e '.[test,{extras[0]}]' or '.[test,{extras[1]}]'"


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("part", aot.PASSES)
@pytest.mark.parametrize("case", aot_cases.CASES.values(), ids=list(aot_cases.CASES))
@pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])
def test_attention_compiles_to_our_kernels(target, case, part):
    compiled = aot.compile_case(target, case, aot_cases.ours(case, target.family), part)
    assert compiled.num_kernels == 1 if part == "forward" else compiled.num_kernels >= 2
    # Beside the kernels: the log-sum-exp, what the scores' gradient subtracts, bounds of blocks.
    item = jnp.dtype(case.dtype).itemsize
    result_bytes = case.B * case.T * case.N * case.K * item
    rows_bytes = 4 * case.B * case.T * (case.N + 8)
    allowed = SLACK_BYTES + (0 if part == "forward" else 2 * result_bytes + 16 * rows_bytes)
    assert compiled.temporary_bytes <= allowed + 16 * rows_bytes


WIDE = AotCase("wide", mask="causal", B=1, T=1024, N=2, M=1, K=128)
WIDER = (
    dataclasses.replace(WIDE, name="widest", K=256),
    AotCase("wide_float32", mask="full", B=2, T=82, N=4, M=2, K=128, dtype="float32", rope=True),
)
"""These take more shared memory than other calls; the last, more than the resident kernel has."""


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize(
    "case", [WIDE, *WIDER, aot_cases.CASES["hrm_82"]], ids=lambda case: case.name
)
@pytest.mark.parametrize("name", ["h100", *aot_targets.OTHER_CARDS])
def test_every_card_takes_tritons_kernels_by_itself(name, case):
    """By the mesh's device, without being asked for; nothing is chosen that does not compile."""
    target = aot_targets.TARGETS[name]
    if target not in INSTALLED:
        pytest.skip(f"compiles with the extra {target.extra}")
    compiled = aot.compile_case(target, case, aot_cases.ours(case, None), "gradient")
    is_resident = case.T <= 128 and case.dtype != "float32"
    assert compiled.num_kernels == (2 if is_resident else 3)
    if name == "h100":
        return
    with pytest.raises(hrm_kernels.UnsupportedError, match=r"Hopper's|needs jax 0\.11"):
        aot.compile_case(target, case, aot_cases.ours(case, "mosaic"), "forward")


@pytest.mark.parametrize("part", aot.PASSES)
@pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])
def test_memory_grows_linearly(target, part):
    """From 8K to 128K tokens never more than query, key and value take themselves."""
    for T in LENGTHS:
        case = AotCase(f"causal_{T}", mask="causal", B=1, T=T, N=8, M=2, K=128)
        attend = aot_cases.ours(case, target.family)
        found = aot.compile_case(target, case, attend, part).temporary_bytes
        operand_bytes = 2 * (case.N + 2 * case.M) * case.K * T
        assert found <= operand_bytes + SLACK_BYTES, (T, found)


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("part", aot.PASSES)
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])
def test_moves_and_holds_no_more_than_others(target, name, part):
    """At the shapes of HRM and HRM-Text, against XLA's own attention and JAX's kernels."""
    case = aot_cases.CASES[name]
    (_, ours), *others = aot.contestants(target, case)
    mine = aot.compile_case(target, case, ours, part)
    for who, attend in others:
        theirs = aot.compile_case(target, case, attend, part)
        assert mine.temporary_bytes <= theirs.temporary_bytes + SLACK_BYTES, who
        if mine.accessed_bytes is not None and theirs.accessed_bytes is not None:
            assert mine.accessed_bytes <= theirs.accessed_bytes, who


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("case", aot_cases.DECODERS.values(), ids=list(aot_cases.DECODERS))
@pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])
def test_decoding_compiles_and_updates_the_cache_in_place(target, case, T):
    decode = functools.partial(hrm_kernels.decode_attention, backend=target.family)
    compiled = aot.compile_decoder(target, case, decode, T)
    assert compiled.num_kernels >= 1
    assert compiled.aliased_bytes >= case.floor_bytes
    assert compiled.temporary_bytes <= case.floor_bytes / 8 + SLACK_BYTES


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(("name", "rows", "dtype"), PRODUCTS)
@pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])
def test_quantised_matrices_are_not_widened_in_memory(target, name, rows, dtype):
    """One kernel, which reads the matrix as it is stored, and nothing of its size beside it."""
    case = aot_cases.QUANTIZED[name]
    x, matrix = case.operands(rows, dtype)
    product = functools.partial(hrm_kernels.quantized_product, backend=target.family)
    compiled = aot_targets.compile_for(target, product, x, matrix)
    assert compiled.num_kernels == 1
    item = jnp.dtype(dtype).itemsize
    vectors = item * rows * (case.V + case.D)
    # On GPU, results of parts of the inputs, one from each program.
    partial = 4 * rows * gpu_quantized.OUTPUTS * gpu_quantized.PROGRAMS
    assert compiled.temporary_bytes <= (partial if target.family == "gpu" else 0)
    if compiled.accessed_bytes is not None and rows <= 16:
        assert compiled.accessed_bytes <= 1.02 * (matrix.nbytes + 3 * vectors)


@pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])
def test_a_quantised_model_decodes_by_kernels_alone(target, monkeypatch):
    """Four products and attention in each of SmolLM2's blocks, and the head."""
    layers = 2
    model = Llama(LlamaConfig(vocab_size=4096, num_layers=layers, max_length=2048))
    weights = llama_weights(model.config, model.init(jax.random.key(0)))
    aot_targets.mesh(target)
    # What is chosen by platform: the layout at packing, and the kernels.
    monkeypatch.setattr(jax, "default_backend", lambda: target.family)
    assert holding.resolved("auto") == "stored"
    variables = llama_variables(model, weights, "int4")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables)
    cache = jax.eval_shape(lambda: model.empty_cache(1, 512))
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    compiled = aot_targets.compile_for(target, model.decode, shapes, tokens, cache, donate=(2,))
    assert compiled.num_kernels == 5 * layers + 1
    weight_bytes = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))
    assert compiled.temporary_bytes < weight_bytes / 4
