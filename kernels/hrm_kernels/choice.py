"""The implementations of attention, and the choice among them."""

import dataclasses
import functools
import importlib
import logging
from collections.abc import Callable

from jaxtyping import Array, Float

from hrm_kernels.device import PLATFORMS
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


FAMILIES = {
    "xla": ("xla_short", "xla_blocked"),
    "tpu": ("tpu_resident", "tpu_tiled"),
    "gpu": ("gpu_resident", "gpu_tiled"),
    "mosaic": ("mosaic_resident", "mosaic_tiled"),
    "mps": ("mps",),
}
PATHS = tuple(name for names in FAMILIES.values() for name in names)
"""Names of the implementations, which are those of their modules."""
LINEAR = "xla_blocked"
"""The path that serves any case on any platform, with memory linear in T and S."""
_ROTATING = ("tpu_resident", "gpu_resident", "mosaic_resident")
_UNTRIED = "has run on no device yet; ask for it with backend={family!r}"
_NARROW = "takes 16 bits alone"
_UNREPEATABLE = (
    "its gradient may differ in two runs, it returns no log-sum-exp, and takes no packed or prefix "
    "mask; jax.nn.dot_product_attention(..., implementation='cudnn') is at hand where that is well"
)
_SLOWER = "exact products of float32 are faster by XLA"


@functools.cache
def path(name: str) -> Path:
    """Returns the implementation that `PATHS` has under a name.

    It is imported at its first use: those for TPU and GPU import Pallas, which takes a quarter of a
    second that a process on a CPU need not spend.
    """
    module = importlib.import_module(f"hrm_kernels.{name}")
    return Path(module.attend, module.refuses, rotates=name in _ROTATING)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which path serves a case, and why not another.

    Attributes:
      case: the sizes, and the card's generation.
      platform: of the device.
      path: one of `PATHS`, or None if `backend` cannot serve the case.
      refusals: why the paths that come before it do not serve the case, each with the remedy, in
        order of preference; where `path` is None, why none does.
      interpret: whether its kernels run in Pallas' interpreter.
      not_chosen: what `explain` adds of others that are never chosen by themselves, and why.
    """

    case: Case
    platform: str
    path: str | None
    refusals: dict[str, str]
    interpret: bool = False
    not_chosen: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        reasons = "".join(
            f"; {name}: {reason}" for name, reason in (self.refusals | self.not_chosen).items()
        )
        return f"{self.case} on {self.platform}: {self.path}{reasons}"


def explain_case(case: Case, platform: str, backend: str | None) -> Choice:
    """Returns the choice for a case, compiling and logging nothing.

    Args:
      case: the sizes, and the card's generation.
      platform: of the device, as JAX names it.
      backend: None for the platform's best; a family (FAMILIES) for the best of it;
        "interpret" for the TPU's kernels in Pallas's interpreter; or the name of a path.

    Raises:
      ValueError: if there is no such backend.
    """
    interpret = backend == "interpret"
    refusals = {}
    if backend is None:
        family = PLATFORMS.get(platform, "xla")
        candidates = (*FAMILIES[family], LINEAR)
        # Three TF32 products for each of float32 take over twice XLA's time (`BUILD.md`).
        if family == "gpu" and case.dtype == "float32" and wants_exact_float32():
            refusals = dict.fromkeys(FAMILIES["gpu"], _SLOWER)
            candidates = (LINEAR,)
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
            return Choice(case, platform, name, refusals, interpret)
        refusals[name] = reason
    return Choice(case, platform, None, refusals, interpret)


def not_chosen(case: Case, platform: str) -> dict[str, str]:
    """Returns why paths and libraries for a platform are not chosen by themselves, by name."""
    family = {"gpu": "mosaic", "mps": "mps"}.get(PLATFORMS.get(platform, platform))
    if family is None:
        return {}
    untried = _UNTRIED.format(family=family)
    reasons = {name: path(name).refuses(case) or untried for name in FAMILIES[family]}
    if family == "mps":
        return reasons
    return reasons | {"cudnn": _NARROW if case.dtype == "float32" else _UNREPEATABLE}


def choose(case: Case, platform: str, backend: str | None) -> tuple[str, bool]:
    """Returns the name of the path that serves a case, and whether to interpret it.

    Logs the choice, and warns, once for each reason, where a kernel falls back to XLA.

    Args:
      case: the sizes, and the card's generation.
      platform: of the device.
      backend: as in `explain_case`.

    Raises:
      UnsupportedError: if `backend` cannot serve the case, with each path's reason.
      ValueError: if there is no such backend.
    """
    choice = explain_case(case, platform, backend)
    if choice.path is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in choice.refusals.items())
        raise UnsupportedError(f"attention backend {backend!r} cannot serve {case}; {reasons}")
    _LOG.info("attention %s", choice)
    refused = tuple(reason for reason in choice.refusals.values() if reason != _SLOWER)
    if backend is None and platform in PLATFORMS and choice.path == LINEAR and refused:
        warn_of_fallback("attention", platform, refused)
    return choice.path, choice.interpret


@functools.cache
def warn_of_fallback(what: str, platform: str, reasons: tuple[str, ...]) -> None:
    """Logs a warning that a device's kernels are not used; once a process for equal arguments."""
    _LOG.warning("%s on %s falls back to XLA: %s", what, platform, "; ".join(reasons))


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
