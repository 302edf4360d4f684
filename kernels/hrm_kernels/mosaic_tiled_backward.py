"""The gradient of the tiled Mosaic kernel: one kernel for queries, and one for keys and values.

As in `gpu_tiled_backward`, a program owns what it writes, so nothing is added to from two programs
and equal calls give equal bits. In both, one warpgroup copies (`mosaic_stream`) and two work.
"""

import jax.numpy as jnp

from hrm_kernels import mosaic_blocks
from hrm_kernels.blocks import cdiv
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.mosaic_stream import OWNED
from hrm_kernels.mosaic_tiled_keys import for_keys
from hrm_kernels.mosaic_tiled_queries import for_queries
from hrm_kernels.operands import Operands, Options, expected_gradient


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes the cotangents of query, key and value; see `operands.Backward`."""
    # An infinite log-sum-exp makes every weight of a query without keys, or beyond the end, zero.
    safe_lse = jnp.where(lse > -jnp.inf, lse * LOG2_E, jnp.inf)
    expected = expected_gradient(out, d_out, d_lse, lse)
    # Cotangents of these queries, which none may use, may be NaN.
    expected = jnp.where(lse > -jnp.inf, expected, 0)
    L = OWNED * cdiv(lse.shape[-1], OWNED)
    # [B, N, J, 2, ROWS]: what each query adds to the scores and to their gradients.
    sums = jnp.stack(
        [
            mosaic_blocks.blocks_of(safe_lse, L, jnp.inf),
            mosaic_blocks.blocks_of(expected, L),
        ],
        axis=3,
    )
    d_query = for_queries(options, operands, sums, d_out)
    return d_query, *for_keys(options, operands, sums, d_out)
