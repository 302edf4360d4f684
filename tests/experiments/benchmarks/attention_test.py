"""What the attention suite counts."""

import jax
import numpy as np
import pytest

from experiments.benchmarks.attention import PASSES, AttentionCase, _jax_programs


@pytest.mark.parametrize("part", PASSES)
def test_bytes_are_those_of_what_a_timed_program_reads_and_returns(part):
    case = AttentionCase(2, 3, 2, 4)
    operands = [np.ones((case.B, case.T, case.N, case.K), np.float32) for _ in range(4)]
    returned = _jax_programs(lambda query, key, value: query * key * value, operands)[part]()
    read = operands[:3] if part == "forward" else operands
    assert case.bytes(part) == sum(array.nbytes for array in (*read, *jax.tree.leaves(returned)))
