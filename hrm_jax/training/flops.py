"""Counts how much a program computes, from its jaxpr."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def matmul_flops(function: Callable[..., Any], *args: Any) -> int:
    """Returns the FLOP of the matrix products in one call of `function`; a multiply-add is 2.

    Loops count as often as they run; of the branches of a conditional, the costliest counts. All
    else (norms, softmax, the optimiser) is left out, as is usual. The function is traced, not run.

    Args:
      function: what `jax.make_jaxpr` takes.
      args: its arguments; `jax.ShapeDtypeStruct`s are enough.

    Raises:
      ValueError: a product is inside a loop of unknown length, or inside a Pallas kernel.
    """
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    return sum(map(_count_equation, jaxpr.eqns))


def _count_equation(equation: core.JaxprEqn) -> int:
    name = equation.primitive.name
    inner = [_count(jaxpr) for jaxpr in _jaxprs_in(equation)]
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left: Any = equation.invars[0].aval
        result: Any = equation.outvars[0].aval
        # Each element of the result is a sum over the contracted axes.
        return 2 * math.prod(result.shape) * math.prod(left.shape[axis] for axis in contracted)
    if name == "cond":
        return max(inner)
    if name in ("while", "pallas_call") and any(inner):
        raise ValueError(f"expected loops of known length around products, got a {name}")
    # A scan repeats its body; calls, such as those of `jit` and `remat`, run theirs once.
    return sum(inner) * (equation.params["length"] if name == "scan" else 1)


def _jaxprs_in(equation: core.JaxprEqn) -> list[core.Jaxpr]:
    """Returns the jaxprs among the parameters of an equation: of loops, branches and calls."""
    leaves = jax.tree.leaves(
        list(equation.params.values()),
        is_leaf=lambda x: isinstance(x, (core.Jaxpr, core.ClosedJaxpr)),
    )
    closed = [x.jaxpr if isinstance(x, core.ClosedJaxpr) else x for x in leaves]
    return [x for x in closed if isinstance(x, core.Jaxpr)]
