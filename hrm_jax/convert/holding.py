"""How a loaded model holds its weights: as floating-point numbers, or in a few bits."""

import logging

import jax
import numpy as np

import hrm_kernels
from hrm_jax.convert.gguf_blocks import quantized
from hrm_jax.convert.weights import Deferred
from hrm_jax.core.config import check
from hrm_jax.nn.quantized import QuantizedWeights

HOLDINGS = ("auto", "float32", "bfloat16", "stored", "int8", "int4")
"""What weights may be held in. "stored": in the formats of the file where they are quantised, and
float32 where they are not. "int8", "int4": matrices in so many bits, stored ones as they are.
"auto": as "stored" where this machine multiplies such matrices fast, float32 elsewhere."""

_BITS = {"int8": 8, "int4": 4}
_GROUP = 32
_log = logging.getLogger(__name__)


def resolved(holding: str) -> str:
    """Returns a holding with "auto" decided.

    Raises:
      ConfigError: there is no such holding.
    """
    check(
        holding in HOLDINGS, "dtype", expected=f"one of {HOLDINGS}", got=holding, remedy="set one"
    )
    if holding != "auto":
        return holding
    reason = hrm_kernels.refuses_quantized()
    if reason is not None:
        _log.warning("weights are widened to float32: %s", reason)
    return "stored" if reason is None else "float32"


def compute_dtype(holding: str) -> str:
    """Returns the dtype of activations, and of weights that are not quantised."""
    return "bfloat16" if holding == "bfloat16" else "float32"


def is_quantised(holding: str) -> bool:
    """Returns whether matrices are held in a few bits; such a model is not trained."""
    return holding == "stored" or holding in _BITS


def quantised_weights(
    matrix: np.ndarray | Deferred, holding: str, *, is_table: bool
) -> QuantizedWeights | None:
    """Returns a matrix [V, D] in a few bits; None if it is to be held as floating-point numbers.

    Args:
      matrix: the weights.
      holding: one of `HOLDINGS`, not "auto".
      is_table: whether its rows stand for tokens: they get 8 bits where others get 4, since errors
        in them are not averaged over a layer.
    """
    if not is_quantised(holding):
        return None
    stored = matrix.stored if isinstance(matrix, Deferred) else ()
    if stored:
        parts = [quantized(rows) for rows in stored]
    # Matrices whose rows are no whole groups stay as they are.
    elif holding in _BITS and matrix.shape[1] % _GROUP == 0:
        bits = 8 if is_table else _BITS[holding]
        parts = [hrm_kernels.quantize(np.asarray(matrix), bits)]
    else:
        return None
    # `asarray` shares the memory where it can: nobody else has these arrays.
    return jax.tree.map(jax.numpy.asarray, QuantizedWeights(tuple(parts)))
