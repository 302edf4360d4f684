"""Appending to a cache and attending from the new tokens, by the kernel in C++: decoding on CPU.

A token's result depends on its own keys alone, to the bit: not on how many are appended at once,
nor on the other rows of a batch.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hrm_kernels import native
from hrm_kernels.operands import Case

_LANES = 16
_LEAST_KEYS = 4
_MOST_SIZE = 256


def refuses(case: Case) -> str | None:
    """Returns why this path cannot serve a case, or None."""
    if case.dtype != "float32" or case.S < _LEAST_KEYS:
        return f"it takes float32, and {_LEAST_KEYS} keys or more"
    if case.K % _LANES or case.K > _MOST_SIZE:
        return f"it takes heads of a multiple of {_LANES}, up to {_MOST_SIZE}"
    return native.refuses()


def append_and_attend(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B T M K"],
    value: Float[Array, "B T M K"],
    cached_key: Float[Array, "C S M*K"],
    cached_value: Float[Array, "C S M*K"],
    lengths: Int[Array, " B"],
    rows: Int[Array, " B"] | None = None,
    *,
    window: int | None,
    scale: float,
) -> tuple[Float[Array, "B T N K"], Float[Array, "C S M*K"], Float[Array, "C S M*K"]]:
    """Returns the attended values and the cache with the new tokens, as `decode_attention` does."""
    results = (query, cached_key, cached_value)
    call = jax.ffi.ffi_call(
        native.CACHED_ATTENTION,
        tuple(jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in results),
        # The cached keys and values are results, too, so that they are appended to in place.
        input_output_aliases={3: 1, 4: 2},
    )
    lengths = lengths.astype(jnp.int32)
    places = jnp.arange(len(lengths), dtype=jnp.int32) if rows is None else rows.astype(jnp.int32)
    # 0 means no window; the types are those of the C++ attributes.
    attributes = {"window": np.int64(window or 0), "scale": np.float32(scale)}
    operands = query, key, value, cached_key, cached_value, lengths, places
    out, keys, values = call(*operands, **attributes)
    return out, keys, values
