"""Machines that programs are compiled for without having them.

XLA compiles ahead of time for a described target: for a TPU with `libtpu`, for an NVIDIA GPU with
JAX's CUDA plugin and a description of the device. The compiled program is the real one: the kernel
compilers raise their own errors, and its memory is known. Each target needs a process of its own,
and `pip install -e '.[aot-tpu]'` or `'.[aot-gpu]'` in an environment of its own.
"""

import dataclasses
import functools
import importlib.metadata
import os
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Keeps libtpu from asking the metadata server of a TPU host, and from refusing a second process.
_TPU_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
# XLA's GpuTargetConfigProto as text, with an H100 SXM's limits where nothing else is said.
_CARD = string.Template("""
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: $shared
  shared_memory_per_core: $shared_of_core core_count: $cores fpus_per_core: 128
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  cuda_compute_capability { $capability }
  driver_version: "13.0.0" runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0" dnn_version: "9.10.0"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "$kind"
""")


# Pallas kernels appear in the optimised program as custom calls with these targets.
_KERNEL_CALL = r'custom_call_target="(?:tpu_custom_call|__gpu\$xla\.gpu\.triton|mosaic_gpu\w*)"'


@dataclasses.dataclass(frozen=True)
class Target:
    """A described machine.

    Attributes:
      name: what it is called here.
      family: of attention's kernels: "tpu" or "gpu".
      library: the distribution that compiles for it.
      extra: of this package, which installs that.
      description: arguments of `topologies.get_topology_desc`.
    """

    name: str
    family: str
    library: str
    extra: str
    description: tuple[tuple[str, Any], ...]


def _card(name: str, kind: str, capability: str, kib: int, cores: int) -> Target:
    """Returns an NVIDIA card, of whose shared memory a block may have so many KiB."""
    # A kibibyte of each block is the driver's.
    shared = {"shared": 1024 * kib, "shared_of_core": 1024 * (kib + 1)}
    config = _CARD.substitute(kind=kind, capability=capability, cores=cores, **shared)
    topology = {"topology_name": "", "topology": "1x1x1", "target_config": config}
    description = ("platform", "cuda"), *topology.items()
    return Target(name, "gpu", "jax-cuda13-plugin", "aot-gpu", description)


_TPU = ("tpu", "libtpu", "aot-tpu")
_OWN_INSTRUCTIONS = "feature_extension: ACCELERATED_FEATURES"
TARGETS = {
    target.name: target
    for target in (
        Target("v5e", *_TPU, (("platform", "tpu"), ("topology_name", "v5e:2x2"))),
        Target("v5e-8", *_TPU, (("platform", "tpu"), ("topology_name", "v5e:2x4"))),
        Target("v6e", *_TPU, (("platform", "tpu"), ("topology_name", "v6e:2x2"))),
        _card("h100", "NVIDIA H100 80GB HBM3", f"major: 9 {_OWN_INSTRUCTIONS}", 227, 132),
        _card("a100", "NVIDIA A100-SXM4-80GB", "major: 8", 163, 108),
        _card("l4", "NVIDIA L4", "major: 8 minor: 9", 99, 58),
        _card("b200", "NVIDIA B200", f"major: 10 {_OWN_INSTRUCTIONS}", 227, 148),
    )
}
OTHER_CARDS = ("l4", "a100", "b200")
"""Those of a generation that our kernels are not tuned for. JAX knows by name alone what their
instructions are, and knows no L40S."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """Costs of a compiled program, as its compiler states them.

    Attributes:
      temporary_bytes: memory it needs besides arguments and results.
      argument_bytes: size of its arguments.
      output_bytes: size of its results.
      aliased_bytes: of the results, what lies in donated arguments.
      accessed_bytes: memory traffic by XLA's count, in which a kernel counts what its cost
        estimate says; None where the compiler does not tell.
      cycles: the compiler's estimate for XLA's own operations, kernels left out; None likewise.
      num_kernels: calls of Pallas kernels in it.
    """

    temporary_bytes: int
    argument_bytes: int
    output_bytes: int
    aliased_bytes: int
    accessed_bytes: float | None
    cycles: int | None
    num_kernels: int


def is_installed(target: Target) -> bool:
    """Returns whether this environment can compile for the target."""
    try:
        importlib.metadata.version(target.library)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def mesh(target: Target, shape: tuple[int, int] = (1, 1)) -> Mesh:
    """Returns the target's devices as a mesh `[data, model]`.

    Raises:
      ValueError: if the target has fewer devices, or its compiler is not installed.
    """
    if not is_installed(target):
        raise ValueError(
            f"target {target.name}: expected {target.library} in this environment; "
            f"pip install -e '.[{target.extra}]'"
        )
    devices = _devices(target)
    number = shape[0] * shape[1]
    if number > len(devices):
        raise ValueError(f"target {target.name}: expected {number} devices, got {len(devices)}")
    return Mesh(np.asarray(devices[:number]).reshape(shape), ("data", "model"))


def settle_process() -> None:
    """Keeps JAX from looking for the targets' devices; call it before JAX looks for any."""
    # The last one skips the plugin's check of the installed CUDA libraries: compiling needs none.
    os.environ.update(_TPU_ENVIRONMENT, JAX_SKIP_CUDA_CONSTRAINTS_CHECK="1")
    jax.config.update("jax_platforms", "cpu")


@functools.cache
def _devices(target: Target) -> Sequence[Any]:
    """Returns the described devices."""
    settle_process()
    return topologies.get_topology_desc(**dict(target.description)).devices


def compile_for(
    target: Target, function: Callable[..., Any], *arguments: Any, donate: tuple[int, ...] = ()
) -> Compiled:
    """Compiles a function for one device of a target.

    Args:
      target: the machine.
      function: what to compile.
      *arguments: pytrees of `jax.ShapeDtypeStruct`.
      donate: which arguments' memory the results may take.
    """
    device = mesh(target)
    # Arguments carry the target's sharding; that is how JAX knows which machine to compile for.
    sharding = NamedSharding(device, PartitionSpec())
    placed = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), arguments
    )
    with jax.set_mesh(device):  # by which kernels learn what they are lowered for
        return describe(jax.jit(function, donate_argnums=donate).lower(*placed).compile())


def describe(compiled: jax.stages.Compiled) -> Compiled:
    """Returns the costs of a compiled program."""
    memory: Any = compiled.memory_analysis()
    # Not every compiler tells its costs: what it does not tell is None.
    costs: Any = compiled.cost_analysis() or {}
    text = compiled.as_text() or ""
    # The TPU compiler writes its estimates into the program's text, operation by operation.
    cycles = [int(number) for number in re.findall(r'"estimated_cycles":"?(\d+)', text)]
    return Compiled(
        temporary_bytes=memory.temp_size_in_bytes,
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        aliased_bytes=memory.alias_size_in_bytes,
        accessed_bytes=costs.get("bytes accessed"),
        cycles=sum(cycles) if cycles else None,
        num_kernels=len(re.findall(_KERNEL_CALL, text)),
    )
