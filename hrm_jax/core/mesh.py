"""A mesh of devices with a `data` and a `model` axis, and arrays placed on it.

Batches are split over `data`, layers over `model`; see `layer_shardings`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from hrm_jax.core.config import check, configclass, field

P = ParamSpec("P")
R = TypeVar("R")
Batch = TypeVar("Batch")

_MODEL_PARALLEL_AXES = ("heads", "mlp")
"""Names that layers give to the axes of their kernels over which devices can split them."""


@configclass
class MeshConfig:
    """Number of devices that share each kind of work."""

    data: int = field(-1, help="devices that share a batch; -1 for all that model leaves")
    model: int = field(1, help="devices that share each layer's weights", at_least=1)

    def __post_init__(self):
        """Raises ConfigError for a number of devices that is neither positive nor -1."""
        check(
            self.data == -1 or self.data >= 1,
            "data",
            expected="1 or more, or -1",
            got=self.data,
            remedy="set a number of devices, or -1 for all that model leaves",
        )


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """Returns the mesh `[data, model]` over `devices`, by default all devices of all processes.

    Raises:
      ConfigError: unless the sizes multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    # Devices of a process become neighbours, so that a process owns whole rows of the mesh where it
    # can, and its part of a batch is contiguous.
    devices.sort(key=lambda device: device.process_index)
    data = len(devices) // config.model if config.data == -1 else config.data
    check(
        data * config.model == len(devices),
        "mesh",
        expected=f"data * model = {len(devices)} devices",
        got=(data, config.model),
        remedy="change mesh.data or mesh.model",
    )
    return Mesh(np.asarray(devices).reshape(data, config.model), ("data", "model"))


def with_ambient_mesh(function: Callable[P, R], mesh: Mesh) -> Callable[P, R]:
    """Returns `function`, traced with `mesh` as the ambient mesh.

    XLA splits its own operations by the shardings of their operands. It cannot look into a Pallas
    kernel, which is split over the ambient mesh by `hrm_kernels` instead.
    """

    @functools.wraps(function)
    def traced(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args, **kwargs)

    return traced


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that splits the leading axis, B, over `data`."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that keeps the whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def layer_shardings(tree: PyTree, mesh: Mesh) -> Any:
    """Returns the sharding of every leaf of a pytree with variables (which may be abstract).

    Variables are split over `model` along the axis that their layer calls "heads" or "mlp" (the
    Megatron layout: column-parallel into a head or an MLP, row-parallel out of it), if the devices
    divide it; all else is replicated.
    """

    def of_node(node: Any) -> PyTree[NamedSharding]:
        if isinstance(node, nnx.Variable):
            return jax.tree.map(lambda leaf: _variable_sharding(node, leaf.shape, mesh), node)
        return replicated(mesh)

    return jax.tree.map(of_node, tree, is_leaf=lambda node: isinstance(node, nnx.Variable))


def _variable_sharding(variable: nnx.Variable, shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    names = variable.get_metadata().get("axes", ())
    spec: list[str | None] = [None] * len(shape)
    for axis, name in enumerate(names):
        # The first of them that the devices divide; a mesh axis can split an array only once.
        if name in _MODEL_PARALLEL_AXES and shape[axis] % mesh.shape["model"] == 0:
            spec[axis] = "model"
            break
    return NamedSharding(mesh, PartitionSpec(*spec))


def fetch(tree: PyTree, mesh: Mesh) -> PyTree:
    """Returns sharded arrays as whole NumPy arrays, on every host.

    Every process must call it, as the arrays' shards are gathered from all of them.
    """
    return jax.device_get(_gathering(mesh)(tree))


@functools.cache
def _gathering(mesh: Mesh) -> Any:
    """Returns the jitted identity whose result is on every host; cached, to compile once."""
    return jax.jit(lambda tree: tree, out_shardings=replicated(mesh))


def check_divisible(name: str, batch_size: int, mesh: Mesh) -> None:
    """Raises ConfigError unless the devices can share a batch equally."""
    check(
        batch_size % mesh.shape["data"] == 0,
        name,
        expected=f"a multiple of the {mesh.shape['data']} devices that share it",
        got=batch_size,
        remedy="change it, or mesh.data",
    )


def split_batch(whole: Batch, mesh: Mesh) -> Batch:
    """Returns a sharded batch from NumPy arrays that every process holds in full."""
    sharding = batch_sharding(mesh)
    # The callback is asked for the rows of this process's shards alone.
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(x.shape, sharding, lambda rows: x[rows]), whole
    )


def batch_share(mesh: Mesh) -> tuple[int, int]:
    """Returns the index and the number of the equal parts of a batch that processes hold.

    Processes that share a layer's weights hold the same part.

    Raises:
      ConfigError: if a process has neither whole rows of the mesh nor an equal part of a row.
    """
    processes = np.vectorize(lambda device: device.process_index)(mesh.devices)
    model = processes.shape[1]
    # All processes are taken to have equally many devices.
    devices_each = processes.size // len(np.unique(processes))
    check(
        devices_each % model == 0 or model % devices_each == 0,
        "mesh.model",
        expected=f"a divisor or a multiple of the {devices_each} devices of a process",
        got=model,
        remedy="change mesh.model",
    )
    # The rows with a device of this process; processes that share a layer have the same ones.
    rows = np.flatnonzero((processes == jax.process_index()).any(axis=1))
    return int(rows[0]) // len(rows), len(processes) // len(rows)


def global_batch(local: Batch, mesh: Mesh) -> Batch:
    """Returns the global, sharded batch that this process's rows are a part of.

    Args:
      local: NumPy arrays, the part of the global batch that `batch_share` tells.
      mesh: the mesh of all processes.
    """
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), local)
