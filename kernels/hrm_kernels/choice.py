"""The implementations of attention, and the choice among them."""

import dataclasses
import functools
import importlib
import logging
from collections.abc import Callable

from jaxtyping import Array, Float

from hrm_kernels.operands import Attend, Case, Operands, Options, rotate, wants_exact_float32

_LOG = logging.getLogger(__name__)


class UnsupportedError(ValueError):
    """A named path or family cannot serve the case."""


@dataclasses.dataclass(frozen=True)
class Path:
    """One implementation.

    Attributes:
      attend: computes attention, differentiably.
      refuses: returns why it cannot serve a case, with the remedy, or None.
      rotates: whether it applies rotary positions itself.
    """

    attend: Attend
    refuses: Callable[[Case], str | None]
    rotates: bool = False


PATHS = (
    "xla_short",
    "xla_blocked",
    "tpu_resident",
    "tpu_tiled",
    "gpu_resident",
    "gpu_tiled",
)
"""Names of the implementations, which are those of their modules."""
FAMILIES = {
    "xla": ("xla_short", "xla_blocked"),
    "tpu": ("tpu_resident", "tpu_tiled"),
    "gpu": ("gpu_resident", "gpu_tiled"),
}
PLATFORMS = {"tpu": "tpu", "gpu": "gpu", "cuda": "gpu"}
"""Family of kernels by platform; all others take XLA's."""
LINEAR = "xla_blocked"
"""The path that serves any case on any platform, with memory linear in T and S."""
_ROTATING = ("tpu_resident", "gpu_resident")


@functools.cache
def path(name: str) -> Path:
    """Returns the implementation that `PATHS` has under a name.

    It is imported at its first use: those for TPU and GPU import Pallas, which takes a quarter of a
    second that a process on a CPU need not spend.
    """
    module = importlib.import_module(f"hrm_kernels.{name}")
    return Path(module.attend, module.refuses, rotates=name in _ROTATING)


def choose(case: Case, platform: str, backend: str | None) -> tuple[str, bool]:
    """Returns the name of the path that serves a case, and whether to interpret it.

    Args:
      case: the sizes.
      platform: of the device, as JAX names it.
      backend: None for the platform's best; a family ("xla", "tpu", "gpu") for the best of it;
        "interpret" for the TPU's kernels in Pallas's interpreter; or the name of a path.

    Returns:
      The name, one of `PATHS`, and the flag.

    Raises:
      UnsupportedError: if `backend` cannot serve the case, with each path's reason.
      ValueError: if there is no such backend.
    """
    interpret = backend == "interpret"
    reasons = {}
    if backend is None:
        family = PLATFORMS.get(platform, "xla")
        candidates = (*FAMILIES[family], LINEAR)
        # Three TF32 products for each of float32 take over twice XLA's time (`BUILD.md`).
        if family == "gpu" and case.dtype == "float32" and wants_exact_float32():
            candidates = (LINEAR,)
            reasons["gpu"] = "exact products of float32 are faster by XLA"
    elif backend in PATHS:
        candidates = (backend,)
    elif interpret or backend in FAMILIES:
        candidates = FAMILIES["tpu" if interpret else backend]
    else:
        known = [*FAMILIES, "interpret", *PATHS]
        raise ValueError(f"attention backend: expected None or one of {known}, got {backend!r}")
    # In order of preference: the first path that does not refuse the case serves it.
    for name in candidates:
        reason = path(name).refuses(case)
        if reason is None:
            _LOG.info("attention %s on %s: %s%s", case, platform, name, _explain(reasons))
            return name, interpret
        reasons[name] = reason
    raise UnsupportedError(f"attention backend {backend!r} cannot serve {case}{_explain(reasons)}")


def run(
    name: str, options: Options, operands: Operands
) -> tuple[Float[Array, "B T N K"], Float[Array, "B N T"] | None]:
    """Runs a path of `PATHS`; rotates query and key first if the path itself cannot."""
    chosen = path(name)
    rope = operands.rope
    if rope is not None and not chosen.rotates:
        # Outside of the path's `custom_vjp`, so that JAX differentiates the rotation by itself.
        query = rotate(operands.query, rope)
        key = rotate(operands.key, rope)
        operands = dataclasses.replace(operands, query=query, key=key, rope=None)
    return chosen.attend(options, operands)


def _explain(reasons: dict[str, str]) -> str:
    return "".join(f"; {name}: {reason}" for name, reason in reasons.items())
