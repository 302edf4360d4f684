"""Attention on Apple's GPUs by MLX's fused kernel and its gradient, which `jax-mps` ships.

It takes masks as dense arrays and returns no log-sum-exp. What the entry point promises beyond it
is made around it: hidden queries, keys and values, which may be NaN, become zeros, and so does what
queries without keys get. It was never run on a Mac (`BUILD.md`), so nobody gets it without asking.
The plugin's operation has no rule for `vmap`.
"""

import importlib
from typing import Any

import jax.numpy as jnp

from hrm_kernels.operands import Case, Operands, Options

MAX_SCORES = 1024 * 1024
"""Largest T * S served with a mask, which then has so many entries for each row of the batch."""


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    if case.with_lse:
        return "returns no log-sum-exp; use backend='xla'"
    if case.masked and case.T * case.S > MAX_SCORES:
        return f"takes masks of up to {MAX_SCORES} scores, got {case.T * case.S}; use xla_blocked"
    if _plugin() is None:
        return "needs the plugin jax-mps, which is for Macs: pip install -e '.[metal]'"
    return None


def attend(options: Options, operands: Operands):
    """Computes attention, differentiably; see `operands.Attend`."""
    query, key, value = operands.query, operands.key, operands.value
    mask = None
    alive = None
    ranges = operands.ranges
    if ranges is not None:
        position = jnp.arange(key.shape[1], dtype=jnp.int32)[None, None]
        allowed = (ranges.first[..., None] <= position) & (position < ranges.end[..., None])
        alive = (ranges.first < ranges.end)[:, :, None, None]
        # Zeros are multiplied with weights of zero, which NaN would survive.
        seen = allowed.any(1)[:, :, None, None]
        query = jnp.where(alive, query, 0)
        key, value = (jnp.where(seen, x, 0) for x in (key, value))
        # A softmax over nothing has no value, so queries without keys see all, for nothing.
        mask = (allowed | ~alive[..., 0])[:, None]
    heads = (jnp.einsum("BLNK->BNLK", x) for x in (query, key, value))
    out = _plugin().sdpa(*heads, scale=options.scale, mask=mask)
    out = jnp.einsum("BNTK->BTNK", out)
    return (out if alive is None else jnp.where(alive, out, 0)), None


def _plugin() -> Any:
    """Returns the module of the plugin's operations, or None where it is not installed."""
    try:
        return importlib.import_module("jax_plugins.mps.ops")
    except ImportError:
        return None
