"""A few rows of the batch at a time."""

import jax
import pytest

from kernels import xla_short
from kernels.operands import Operands, Options
from tests.kernels import cases


@pytest.mark.parametrize(
    ("B", "loops"), [(2, 0), (4, 1), (5, 1)], ids=["whole", "two by two", "one left over"]
)
def test_rows_in_turns_are_as_near_to_float64_as_xla(B, loops, monkeypatch):
    monkeypatch.setattr(xla_short, "CACHE_BYTES", 1)
    case = cases.Case(9, N=2, M=1, K=16, mask="causal_lengths", B=B)
    cases.check(case, backend="xla_short")
    operands = Operands(*cases.example(case).operands)
    program = jax.make_jaxpr(xla_short.forward, static_argnums=0)(Options(1.0), operands)
    assert str(program).count("scan[") == loops
