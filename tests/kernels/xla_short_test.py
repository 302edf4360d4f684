"""A few rows of the batch at a time."""

import jax
import pytest

from hrm_kernels import cases, xla_short
from hrm_kernels.operands import Operands, Options

ROW_BYTES = 2 * 4 * 2 * 9 * 9
"""Of the case's backward pass: twice the scores of a row of the batch."""


@pytest.mark.parametrize(
    ("B", "cache_bytes", "loops", "side_by_side"),
    [(2, 1, 0, 0), (4, 1, 1, 1), (5, 1, 1, 1), (8, 2 * ROW_BYTES, 1, 2), (12, 2 * ROW_BYTES, 1, 1)],
    ids=["whole", "two by two", "one left over", "two chunks at once", "three chunks"],
)
def test_rows_in_turns_are_as_near_to_float64_as_xla(
    B, cache_bytes, loops, side_by_side, monkeypatch
):
    monkeypatch.setattr(xla_short, "CACHE_BYTES", cache_bytes)
    case = cases.Case(9, N=2, M=1, K=16, mask="causal_lengths", B=B)
    cases.check(case, backend="xla_short")
    operands = Operands(*cases.example(case).operands)
    program = str(jax.make_jaxpr(xla_short.forward, static_argnums=0)(Options(1.0), operands))
    assert program.count("scan[") == loops
    assert f"unroll={side_by_side}" in program or not loops
