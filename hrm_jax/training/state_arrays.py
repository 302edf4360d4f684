"""Converts a training state to and from the flat dict of plain arrays that a checkpoint holds.

Leaves are named by their path in the pytree, such as `params/block/kernel/value`. Typed PRNG keys
become their uint32 data. Arrays without elements, which orbax refuses, are described only.
"""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.errors import UserError

_SHOWN = 5


class CheckpointError(UserError):
    """A checkpoint cannot be written as asked, is damaged, or does not fit the target."""


def state_bytes(state: Any) -> int:
    """Returns the bytes of all arrays of a state, about a checkpoint's size; it may be abstract."""
    data = [_data_of(leaf) for leaf in _named_leaves(state).values()]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in data)


def flatten(state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a state into arrays and their description.

    Args:
        state: pytree of JAX and NumPy arrays.

    Returns:
        Plain arrays by path, without the empty ones; and for every path the JSON object
        `{"shape": [...], "dtype": "...", "key_impl": name or None}`.

    Raises:
        CheckpointError: a leaf is not an array, or two leaves have the same path.
    """
    arrays = {}
    description = {}
    for path, leaf in _named_leaves(state).items():
        # The generator is saved with its numbers, which mean nothing to another one.
        impl = str(jax.random.key_impl(leaf)) if _is_key(leaf) else None
        description[path] = _describe(leaf) | {"key_impl": impl}
        data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        if math.prod(data.shape):
            arrays[path] = data if isinstance(data, jax.Array) else np.asarray(data)
    return arrays, description


def abstract_arrays(description: dict[str, Any], target: Any, source: Path) -> dict[str, Any]:
    """Returns what orbax is to restore: for each array of `flatten`, one like the target's leaf.

    Args:
        description: as `flatten` returns it.
        target: pytree of arrays or `jax.ShapeDtypeStruct`s.
        source: the checkpoint, for messages.

    Raises:
        CheckpointError: paths, shapes or dtypes differ; the message lists which.
    """
    leaves = _named_leaves(target)
    faults = []
    # The paths of both, so that what is missing and what is too much are faults as well.
    for path in sorted(leaves.keys() | description.keys()):
        expected = _text(_describe(leaves[path])) if path in leaves else "nothing"
        found = _text(description[path]) if path in description else "nothing"
        if expected != found:
            faults.append(f"{path}: expected {expected}, found {found}")
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise CheckpointError(
            f"{source} does not fit the target: {'; '.join(faults[:_SHOWN])}{more}. Build the "
            "target from the config that the checkpoint was trained with, or choose another one"
        )
    data = {path: _data_of(leaf) for path, leaf in leaves.items()}
    return {path: leaf for path, leaf in data.items() if math.prod(leaf.shape)}


def unflatten(arrays: dict[str, Any], description: dict[str, Any], target: Any) -> Any:
    """Puts restored arrays back into a pytree of the target's structure, and returns it.

    Raises:
        CheckpointError: JAX changed a dtype, as it does to 64 bits unless jax_enable_x64 is set.
    """
    leaves = []
    for path, like in _named_leaves(target).items():
        data = _data_of(like)
        # Empty arrays were not saved, and are made again.
        value = arrays[path] if path in arrays else _empty(data)
        if value.dtype != data.dtype:
            raise CheckpointError(
                f"{path}: expected {data.dtype}, but JAX gave {value.dtype}; set jax_enable_x64, "
                "or give a NumPy array as the target"
            )
        # Numbers become typed keys again, of the kind that was saved.
        impl = description[path]["key_impl"]
        leaves.append(value if impl is None else jax.random.wrap_key_data(value, impl=impl))
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(target), leaves)


def _named_leaves(tree: Any) -> dict[str, Any]:
    named = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        path = jax.tree_util.keystr(keys, simple=True, separator="/")
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)):
            raise CheckpointError(
                f"{path}: expected an array, got {leaf!r} ({type(leaf).__name__}); wrap it in "
                "jnp.asarray, or put it into the extras"
            )
        if path in named:
            raise CheckpointError(
                f"{path}: expected one leaf of this path, got two; rename a key that holds a '/'"
            )
        named[path] = leaf
    return named


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _describe(leaf: Any) -> dict[str, Any]:
    return {"shape": list(leaf.shape), "dtype": str(leaf.dtype)}


def _text(description: dict[str, Any]) -> str:
    return f"{description['dtype']}[{','.join(map(str, description['shape']))}]"


def _data_of(leaf: Any) -> Any:
    """Returns the abstract plain data of a leaf; NumPy leaves stay, to be restored as NumPy."""
    if isinstance(leaf, (np.ndarray, np.generic)):
        return np.asarray(leaf)
    sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    plain = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    if _is_key(leaf):
        # `key_data` has another shape and dtype than the keys: uint32 words along a further axis.
        plain = jax.eval_shape(jax.random.key_data, plain)
    return jax.ShapeDtypeStruct(plain.shape, plain.dtype, sharding=sharding)


def _empty(like: Any) -> Any:
    if isinstance(like, np.ndarray):
        return np.zeros(like.shape, like.dtype)
    return jnp.zeros(like.shape, like.dtype, device=like.sharding)
