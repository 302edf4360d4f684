"""Runs kernels under a mesh, each device on its share, as XLA cannot partition a custom call."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

from hrm_kernels.operands import Operands, Options

BATCH_AXIS = "data"
HEADS_AXIS = "model"
"""Mesh axes over which the batch and the heads are split."""


def over_mesh(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a `Forward` or `Backward` that splits its work over the ambient mesh.

    The batch is split over the mesh axis "data" and heads over "model". An axis that is absent, of
    size 1, or already manual in the caller's own `shard_map` is not split over; if neither is, the
    function calls `kernel` itself. The ambient mesh is that of `jax.set_mesh`.

    Raises:
      ValueError: if an axis does not divide the batch or the key heads.
    """

    @functools.wraps(kernel)
    def split(options: Options, operands: Operands, *rest):
        B, _, M, _ = operands.key.shape
        batch = _axis(BATCH_AXIS, B, "the batch")
        heads = _axis(HEADS_AXIS, M, "the number of key heads")
        function = functools.partial(kernel, options)
        if batch is None and heads is None:
            return function(operands, *rest)
        # Operands of attention are told apart by their rank; heads are split evenly, so that query
        # heads stay on the device of the key head they share.
        by_rank = {
            2: PartitionSpec(batch),  # ranges [B, T]
            3: PartitionSpec(batch, heads),  # log-sum-exp [B, N, T]
            4: PartitionSpec(batch, None, heads),  # [B, T, N, K]
        }

        def specs(tree):
            return jax.tree.map(lambda x: by_rank[x.ndim], tree)

        # Apart, as tables of the rotation have the rank of ranges, and are whole on every device.
        split_specs = specs(dataclasses.replace(operands, rope=None))
        whole_specs = jax.tree.map(lambda _: PartitionSpec(), operands.rope)
        # `out_specs` must match the results, of which some calls lack the log-sum-exp.
        results = jax.eval_shape(function, operands, *rest)
        return jax.shard_map(
            function,
            in_specs=(dataclasses.replace(split_specs, rope=whole_specs), *specs(rest)),
            out_specs=specs(results),
            check_vma=False,
        )(operands, *rest)

    return split


def _axis(name: str, size: int, of: str) -> str | None:
    """Returns `name` if the ambient mesh splits over that axis, else None; checks divisibility."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    parts = dict(mesh.shape).get(name, 1)
    if parts == 1 or kinds[name] == AxisType.Manual:
        return None
    if size % parts:
        raise ValueError(
            f"attention under a mesh: expected {of}, {size}, to be a multiple of the mesh axis "
            f"{name!r}, {parts}; change one of them"
        )
    return name
