"""Makes one differentiable function of a forward and a backward implementation."""

import dataclasses
import functools
from typing import Any

import jax
from jaxtyping import Array, Float

from hrm_kernels.operands import Backward, Forward, Operands, Options


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def differentiable(
    forward: Forward, backward: Backward, options: Options, operands: Operands
) -> tuple[Float[Array, "B T N K"], Float[Array, "B N T"] | None]:
    """Returns `forward(options, operands)`; its gradient is `backward`.

    The residuals are the operands, the result and the log-sum-exp: linear in T and S.
    """
    return forward(options, operands)


def _forward(forward: Forward, backward: Backward, options: Options, operands: Operands):
    del backward
    # The backward pass needs the log-sum-exp even where the caller did not ask for it.
    out, lse = forward(dataclasses.replace(options, with_lse=True), operands)
    return (out, lse if options.with_lse else None), (operands, out, lse)


def _backward(forward: Forward, backward: Backward, options: Options, saved: Any, cotangents: Any):
    del forward
    # With `return_lse` off, the second cotangent is None, which `Backward` reads as zero.
    return (Operands(*backward(options, *saved, *cotangents)),)


differentiable.defvjp(_forward, _backward)
