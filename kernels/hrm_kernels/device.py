"""The device that a call is for: its platform and, of NVIDIA's cards, its generation."""

import dataclasses
import re
from typing import Any

import jax

PLATFORMS = {"tpu": "tpu", "gpu": "gpu", "cuda": "gpu"}
"""Family of kernels by platform; all others take XLA's."""
GENERATIONS = {
    (8, 0): "ampere",
    (8, 6): "ampere_small",
    (8, 7): "ampere",
    (8, 9): "ada",
    (9, 0): "hopper",
    (10, 0): "blackwell",
    (10, 3): "blackwell",
    (12, 0): "blackwell_small",
    (12, 1): "blackwell_small",
}
"""Generations by compute capability."""
_KINDS = (
    (r"\b(A100|A30|A800)\b", (8, 0)),
    (r"\b(A10G?|A16|A2|A40|RTX A\d+|RTX 30\d\d)\b", (8, 6)),
    (r"\b(L4|L40S?|L20|RTX 40\d\d)\b", (8, 9)),
    (r"\b(H100|H200|H800|H20|GH200)\b", (9, 0)),
    (r"\b(B100|B200|GB200)\b", (10, 0)),
    (r"\b(B300|GB300)\b", (10, 3)),
    (r"\bRTX (PRO |50\d\d)", (12, 0)),
)
"""Compute capabilities by what the driver calls a card. An ahead-of-time target in the ambient mesh
has a name and no compute capability."""


@dataclasses.dataclass(frozen=True)
class Device:
    """What the choice of a kernel knows of a device.

    Attributes:
      platform: as JAX names it.
      capability: of NVIDIA's cards, the compute capability; None where it is not known.
    """

    platform: str
    capability: tuple[int, int] | None = None

    @property
    def generation(self) -> str | None:
        """One of the values of GENERATIONS, or None for another or an unknown card."""
        return GENERATIONS.get(self.capability) if self.capability else None


def device_of(device: Any = None) -> Device:
    """Returns what is known of a device.

    Args:
      device: a `Device` as it is; a device of JAX, present or described to a compiler; or None for
        the ambient mesh's (`jax.set_mesh`), where there is a mesh, else JAX's first.
    """
    if isinstance(device, Device):
        return device
    if device is not None:
        return _described(device)
    abstract = jax.sharding.get_abstract_mesh().abstract_device
    # A program that is compiled ahead of time is for the mesh's device, which need not be here.
    if abstract is not None:
        return _described(abstract)
    platform = jax.default_backend()
    if PLATFORMS.get(platform) != "gpu":
        return Device(platform)
    # Tests pretend to a platform, whose devices are then not there.
    first = jax.local_devices()[0]
    return Device(platform, _capability(first) if first.platform != "cpu" else None)


def _described(device: Any) -> Device:
    kind = str(device.device_kind)
    # jax 0.10.0's abstract devices have a kind and no platform.
    platform = getattr(device, "platform", None) or next(
        (name for prefix, name in (("NVIDIA", "cuda"), ("TPU", "tpu")) if kind.startswith(prefix)),
        "cpu",
    )
    return Device(platform, _capability(device))


def _capability(device: Any) -> tuple[int, int] | None:
    # Not every device states it, nor as two numbers.
    stated = getattr(device, "compute_capability", None)
    if stated is not None and re.fullmatch(r"\d+\.\d+", str(stated)):
        major, minor = str(stated).split(".")
        return int(major), int(minor)
    # An ahead-of-time target is known by its name alone.
    kind = str(device.device_kind)
    return next((found for pattern, found in _KINDS if re.search(pattern, kind)), None)
