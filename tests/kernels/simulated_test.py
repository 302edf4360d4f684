"""The TPU kernels in the simulator of memories: races, transfers, and memory nobody wrote to."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic.interpret import interpret_pallas_call as simulator  # no public name
from jax.experimental.pallas import tpu as pltpu

import hrm_kernels
from hrm_kernels import cases, quantized_cases, tpu_blocks, tpu_quantized

SIMULATED = pltpu.InterpretParams(
    detect_races=True,
    dma_execution_mode="on_wait",  # a transfer nobody waits for never happens
    uninitialized_memory="nan",  # outputs, too: what is not written stays poisoned
    random_seed=1,  # steps of parallel axes in any order
)
FEW_STEPS = (
    ("tpu_resident", cases.Case(21, N=2, M=1, K=16, mask="causal_lengths", B=3)),
    ("tpu_resident", cases.Case(16, N=2, M=2, K=32, dtype="bfloat16", B=2)),
    ("tpu_tiled", cases.Case(200, N=2, M=1, K=16, mask="causal", B=1)),
    ("tpu_tiled", cases.Case(130, N=2, M=2, K=64, mask="packed_prefix", dtype="bfloat16", B=1)),
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks on both sides."""
    monkeypatch.setattr(tpu_blocks, "HELD", 128)
    monkeypatch.setattr(tpu_blocks, "STREAMED", 128)


def assert_no_race():
    assert simulator.races is not None
    assert not simulator.races.races_found


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "case"), FEW_STEPS, ids=lambda x: str(x))
def test_gives_the_numbers_of_the_plain_interpreter(name, case):
    """Bit for bit, forward and backward, without a race."""
    data = cases.example(case)
    plain = cases.compute(data, backend=name, interpret=True)
    simulated = cases.compute(data, backend=name, interpret=SIMULATED)
    assert_no_race()
    for key, array in simulated.items():
        np.testing.assert_array_equal(array, plain[key], err_msg=key)


def test_quantised_products_read_and_write_what_is_theirs(monkeypatch):
    """Two blocks of rows, and two of panels, of which the last is not full."""
    monkeypatch.setattr(tpu_quantized, "ROWS", 8)
    monkeypatch.setattr(tpu_quantized, "BLOCK_BYTES", 1)
    example = quantized_cases.example(quantized_cases.FORMS["Q5_0"], V=130, D=160)
    x = quantized_cases.activations(11, 160)
    found = hrm_kernels.quantized_product(
        jnp.asarray(x), example.matrix, backend="tpu", interpret=SIMULATED
    )
    assert_no_race()
    assert quantized_cases.share_of_allowed(np.asarray(found), x, example) < 1
