"""The synthetic work of the training-step benchmark and its FLOP count."""

import numpy as np
import pytest

from experiments.benchmarks import workload

TINY = workload.SHAPES["hrm_tiny"]


def test_batches_are_reproducible_and_in_range():
    batches = workload.batches(TINY, 5)
    again = workload.batches(TINY, 5)
    assert len(batches) == 4
    for batch, other in zip(batches, again, strict=True):
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key])
        assert batch["inputs"].shape == batch["labels"].shape == (5, TINY.seq_len)
        assert batch["puzzle_identifiers"].shape == (5,)
        assert all(array.dtype == np.int32 for array in batch.values())
        assert batch["inputs"].min() >= 1
        assert batch["inputs"].max() < TINY.vocab_size
    assert not np.array_equal(batches[0]["inputs"], batches[1]["inputs"])


def test_flops_agree_with_a_count_by_hand():
    # D = 32, F = 256, L = 10: a layer costs 2 * 10 * (4 * 32^2 + 3 * 32 * 256) + 4 * 10^2 * 32.
    layer = 573_440 + 12_800
    # Twelve layers forward in two inner steps, and two backward at twice the cost; then the head.
    expected = (12 + 2 * 2) * layer + 3 * 2 * 10 * 32 * 11
    assert workload.train_step_flops(TINY, 1) == expected
    assert workload.train_step_flops(TINY, 7) == 7 * expected


@pytest.mark.oracle
def test_flops_agree_with_the_operations_pytorch_runs():
    torch = pytest.importorskip("torch")
    from torch.utils import _python_dispatch, flop_counter

    from experiments.benchmarks import torch_step

    class Counter(_python_dispatch.TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            packet = function.overloadpacket
            if packet in flop_counter.flop_registry:
                formula = flop_counter.flop_registry[packet]
                self.total += formula(*args, **(kwargs or {}), out_val=result)
            return result

    run = torch_step.build(TINY.arguments(), batch_size=2, compiled=False)
    # The counter has no formula for the fused attention of the CPU.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), Counter() as counter:
        run(1)
    # PyTorch also runs the token head in the target's step, and the Q head.
    assert counter.total == pytest.approx(workload.train_step_flops(TINY, 2), rel=0.01)
