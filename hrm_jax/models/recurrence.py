"""Nested cycles of a slow and a fast level, with a border inside which gradient flows.

HRM, TRM and HRM-Text are schedules over this one recurrence (HRM: arXiv 2506.21734, figure 4;
TRM: arXiv 2510.04871, figure 3). The cycles run in `lax.scan`: compile time does not grow with
their number, and what lies outside the border is never differentiated, so the memory of training
does not grow with it either.
"""

import dataclasses
import itertools
from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from hrm_jax.core.types import Latents, Params


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How often each level is called, and which calls carry gradient.

    Attributes:
      H_cycles: cycles; each ends in one call of the high level.
      L_cycles: calls of the low level within a cycle.
      gradient_L_calls: one entry for each of the *last* cycles through which gradient flows; the
        entry counts the last low-level calls of that cycle that carry it. HRM is `(1,)`, TRM
        `(L_cycles,)`. High-level calls of these cycles always carry gradient.
    """

    H_cycles: int
    L_cycles: int
    gradient_L_calls: tuple[int, ...]

    def __post_init__(self):
        """Raises ValueError where the border does not lie within the cycles."""
        if self.H_cycles < 1 or self.L_cycles < 1:
            raise ValueError(f"H_cycles and L_cycles must be at least 1, got {self}")
        if not 1 <= len(self.gradient_L_calls) <= self.H_cycles:
            raise ValueError(
                f"gradient_L_calls needs 1 to H_cycles={self.H_cycles} entries: {self}"
            )
        if not all(0 <= calls <= self.L_cycles for calls in self.gradient_L_calls):
            raise ValueError(f"gradient_L_calls must lie in 0..L_cycles={self.L_cycles}: {self}")


_UNROLL = 8
"""Calls with gradient written out in a row: a loop would copy what each keeps for its backward pass
into a stack and out again, which takes small models on CPU as long as half their products."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Level:
    """A reasoning module as a pure function with its parameters.

    Attributes:
      params: parameters of the module.
      apply: `(params, hidden [B, L, D], injection [B, L, D]) -> hidden [B, L, D]`; static.
    """

    params: Params
    apply: Callable[[Params, Array, Array], Array] = dataclasses.field(metadata={"static": True})

    def __call__(
        self, hidden: Float[Array, "B L D"], injection: Float[Array, "B L D"]
    ) -> Float[Array, "B L D"]:
        """One call of the level."""
        return self.apply(self.params, hidden, injection)


def recur(
    schedule: Schedule, H: Level, L: Level, latents: Latents, injection: Float[Array, "B L D"]
) -> Latents:
    """Runs all cycles: `z_L = L(z_L, z_H + injection)`, and after L_cycles `z_H = H(z_H, z_L)`.

    Args:
      schedule: the numbers of calls and the gradient border.
      H: the slow level.
      L: the fast level; TRM passes the same one twice.
      latents: the states to start from; they get no gradient.
      injection: the embedded puzzle.

    Returns:
      The states after the last cycle. Gradient reaches the levels and the injection only through
      the calls inside the border.
    """
    latents, frozen_H, frozen_L, frozen_injection = jax.lax.stop_gradient(
        (latents, H, L, injection)
    )

    def cycle(latents: Latents, gradient_L_calls: int) -> Latents:
        z_L = latents.z_L
        if free_calls := schedule.L_cycles - gradient_L_calls:
            frozen = jax.lax.stop_gradient(latents)
            z_L = jax.lax.stop_gradient(_repeat(frozen_L, frozen, frozen_injection, free_calls))
        z_L = _repeat(L, Latents(latents.z_H, z_L), injection, gradient_L_calls, unroll=_UNROLL)
        return Latents(H(latents.z_H, z_L), z_L)

    def free_cycle(latents: Latents) -> Latents:
        z_L = _repeat(frozen_L, latents, frozen_injection, schedule.L_cycles)
        return Latents(frozen_H(latents.z_H, z_L), z_L)

    free_cycles = schedule.H_cycles - len(schedule.gradient_L_calls)
    latents = _scan(free_cycle, latents, free_cycles)
    for calls, group in itertools.groupby(schedule.gradient_L_calls):
        latents = _scan(lambda state, n=calls: cycle(state, n), latents, len(list(group)))
    return latents


def _repeat(
    level: Level,
    latents: Latents,
    injection: Float[Array, "B L D"],
    calls: int,
    *,
    unroll: int = 1,
) -> Float[Array, "B L D"]:
    """z_L after `calls` calls of `level`, the high-level state standing still."""
    context = latents.z_H + injection
    return _scan(lambda z_L: level(z_L, context), latents.z_L, calls, unroll=unroll)


def _scan(function: Callable, state, length: int, *, unroll: int = 1):
    """`function` applied `length` times, in one loop; without a loop where it is applied once."""
    if length == 0:
        return state
    if length == 1:
        return function(state)
    unroll = min(unroll, length)
    return jax.lax.scan(
        lambda state, _: (function(state), None), state, length=length, unroll=unroll
    )[0]
