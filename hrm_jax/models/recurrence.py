"""Nested cycles of a slow and a fast level, with truncated backpropagation through the last calls.

HRM, TRM and HRM-Text are schedules over this one recurrence (HRM: arXiv 2506.21734, figure 4;
TRM: arXiv 2510.04871, figure 3). The cycles run in `lax.scan`: compile time does not grow with
their number, and calls without gradient are never differentiated, so the memory of training does
not grow with them either.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
from jaxtyping import Array, Float

from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.types import Latents, Params


@configclass
class Schedule:
    """How often each level is called, and which calls carry gradient.

    Attributes:
      H_cycles: cycles; each ends in one call of the high level.
      L_cycles: calls of the low level within a cycle.
      gradient_L_calls: one entry for each of the *last* cycles through which gradient flows; the
        entry counts the last low-level calls of that cycle that carry it. HRM is `(1,)`, TRM
        `(L_cycles,)`. High-level calls of these cycles always carry gradient.
      recompute: whether the backward pass recomputes each call from its input (`jax.checkpoint`)
        instead of storing the call's activations.
    """

    H_cycles: int = field(at_least=1)
    L_cycles: int = field(at_least=1)
    gradient_L_calls: tuple[int, ...] = field(at_least=0, nonempty=True)
    recompute: bool = False

    @property
    def num_calls(self) -> int:
        """Number of calls of both levels together."""
        return self.H_cycles * (self.L_cycles + 1)

    @classmethod
    def from_L_bp_cycles(cls, H_cycles: int, L_cycles: int, L_bp_cycles: Sequence[int]) -> Self:
        """Returns the schedule of HRM-Text's configs, with gradient in every high-level call.

        Args:
          H_cycles: as in `Schedule`.
          L_cycles: as in `Schedule`.
          L_bp_cycles: for each cycle, how many of its last low-level calls carry gradient. A list
            shorter than H_cycles is padded with ones on the left; entries beyond H_cycles are
            ignored, and an entry above L_cycles counts as L_cycles.
        """
        padded = [1] * (H_cycles - len(L_bp_cycles)) + list(L_bp_cycles)
        return cls(H_cycles, L_cycles, tuple(min(n, L_cycles) for n in padded[:H_cycles]))

    @classmethod
    def from_gradient_calls(cls, H_cycles: int, L_cycles: int, calls: int) -> Self:
        """Returns the schedule with gradient through `calls` calls of both levels together.

        HRM-Text's training counts so: calls are added in this order: the last low-level call, then
        one high-level call of each cycle, from the last one backwards, then further low-level
        calls, likewise backwards. HRM has 2.

        Raises:
          ValueError: unless `2 <= calls <= H_cycles * (L_cycles + 1)`.
        """
        if not 2 <= calls <= H_cycles * (L_cycles + 1):
            raise ValueError(
                f"expected 2 to {H_cycles * (L_cycles + 1)} calls with gradient, as "
                f"H_cycles={H_cycles} and L_cycles={L_cycles} have, got {calls}"
            )
        # The low level has one call; of all others the high level comes first, with one in each
        # cycle.
        H_calls = min(H_cycles, calls - 1)
        L_calls = calls - H_calls
        # Low-level calls are handed out from the last cycle backwards: a cycle gets what remains
        # after every later cycle carries gradient through all of its L_cycles calls.
        later = [L_cycles * cycle for cycle in reversed(range(H_calls))]
        inside = tuple(min(L_cycles, max(0, L_calls - after)) for after in later)
        return cls(H_cycles, L_cycles, inside)

    def __post_init__(self):
        """Raises ConfigError where gradient is asked of more calls than there are."""
        check(
            len(self.gradient_L_calls) <= self.H_cycles,
            "gradient_L_calls",
            expected=f"at most H_cycles={self.H_cycles} entries",
            got=self.gradient_L_calls,
            remedy="drop the first ones",
        )
        check(
            max(self.gradient_L_calls) <= self.L_cycles,
            "gradient_L_calls",
            expected=f"entries up to L_cycles={self.L_cycles}",
            got=self.gradient_L_calls,
            remedy="lower those above it",
        )


_UNROLL = 8
"""Unrolled iterations of a loop whose calls carry gradient. A rolled loop would copy every call's
residuals into a stacked array and out again, which on CPU costs small models half as much time as
their matrix products."""


@configclass
class BorderWarmup:
    """Backpropagation through more calls as training proceeds, as HRM-Text is trained.

    Calls are counted as `Schedule.from_gradient_calls` counts them.
    """

    min_calls: int = field(
        2, help="calls with gradient at the first step", at_least=2, remedy="HRM has 2"
    )
    max_calls: int = field(5, help="calls with gradient from the end of the warm-up on")
    share: float = field(
        0.2, help="of all steps, that the warm-up takes; 0 for none", at_least=0, at_most=1
    )

    def __post_init__(self):
        """Raises ConfigError where the number of calls would fall."""
        check(
            self.min_calls <= self.max_calls,
            "max_calls",
            expected=f"min_calls={self.min_calls} or more",
            got=self.max_calls,
            remedy="raise it, or lower min_calls",
        )

    def calls(self, step: int, total_steps: int) -> int:
        """Returns the number of calls with gradient at `step`, counted from 0.

        It rises from `min_calls` to `max_calls` in equal stretches of the warm-up.
        """
        warmup_steps = self.share * total_steps
        done = min(1.0, step / warmup_steps) if warmup_steps else 1.0
        # `int` rounds down, so max_calls itself is reached only at the end of the warm-up.
        return self.min_calls + int(done * (self.max_calls - self.min_calls))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Level:
    """A level of the recurrence as a pure function with its parameters.

    Attributes:
      params: parameters of the module.
      apply: static; `(params, hidden [B, L, D], injection [B, L, D]) -> hidden [B, L, D]`, or with
        a memory as fourth argument `-> (hidden [B, L, D], memory)`.
    """

    params: Params
    apply: Callable[..., Any] = dataclasses.field(metadata={"static": True})

    def __call__(
        self, hidden: Float[Array, "B L D"], injection: Float[Array, "B L D"], *memory: Any
    ) -> Any:
        """Returns the new hidden state [B, L, D]; given a memory, `(hidden, new memory)`."""
        return self.apply(self.params, hidden, injection, *memory)


def recur(
    schedule: Schedule,
    high: Level,
    low: Level,
    latents: Latents,
    injection: Float[Array, "B L D"] | None = None,
) -> Latents:
    """Runs all cycles: L_cycles times `z_L = low(z_L, z_H + injection)`, `z_H = high(z_H, z_L)`.

    Args:
      schedule: the numbers of calls, and which carry gradient.
      high: the slow level.
      low: the fast level; TRM passes the same one twice.
      latents: the states to start from.
      injection: the embedded puzzle; None in HRM-Text, where the embedded text is the first z_H.

    Returns:
      The states after the last cycle. Gradient reaches the levels, the injection and the initial
      states only through the calls that carry it.
    """
    # Two sets of arguments: the calls without gradient take the stopped one, so that JAX neither
    # differentiates their loops nor stores residuals for them.
    frozen_high, frozen_low, frozen_injection = jax.lax.stop_gradient((high, low, injection))
    # Only now, after the stopped copies were made: without gradient there is nothing to recompute.
    if schedule.recompute:
        high = Level(high.params, jax.checkpoint(high.apply))
        low = Level(low.params, jax.checkpoint(low.apply))

    def cycle(latents: Latents, gradient_L_calls: int) -> Latents:
        z_L = latents.z_L
        if free_calls := schedule.L_cycles - gradient_L_calls:
            # The input is stopped as well as the result: the scan inside then has no tangents, and
            # autodiff does not linearise it only to discard the residuals.
            frozen = jax.lax.stop_gradient(latents)
            z_L = jax.lax.stop_gradient(_repeat(frozen_low, frozen, frozen_injection, free_calls))
        z_L = _repeat(low, Latents(latents.z_H, z_L), injection, gradient_L_calls, unroll=_UNROLL)
        return Latents(high(latents.z_H, z_L), z_L)

    def free_cycle(latents: Latents) -> Latents:
        z_L = _repeat(frozen_low, latents, frozen_injection, schedule.L_cycles)
        return Latents(frozen_high(latents.z_H, z_L), z_L)

    # Cycles before the listed ones carry no gradient, and are one loop.
    if free_cycles := schedule.H_cycles - len(schedule.gradient_L_calls):
        latents = _scan(free_cycle, jax.lax.stop_gradient(latents), free_cycles)
    # Neighbouring cycles with equally many gradient calls share one loop, so that compile time
    # grows with the number of distinct counts and not with the number of cycles.
    for calls, group in itertools.groupby(schedule.gradient_L_calls):
        latents = _scan(lambda state, n=calls: cycle(state, n), latents, len(list(group)))
    return latents


def recur_with_memory(
    schedule: Schedule, high: Level, low: Level, latents: Latents, memory: Sequence[Any]
) -> tuple[Latents, tuple[Any, ...]]:
    """Runs the cycles of `recur` for levels with a memory, such as a cache of keys and values.

    Each call takes a memory of its own and returns the new one. The calls are unrolled: a loop
    would slice every memory out of a stacked array and copy it into another. Nothing is injected,
    and `gradient_L_calls` is ignored, as this is for inference.

    Args:
      schedule: the numbers of calls.
      high: the slow level.
      low: the fast level.
      latents: the states to start from.
      memory: one for each of the `H_cycles * (L_cycles + 1)` calls, in calling order.

    Returns:
      The states after the last cycle, and the new memories.

    Raises:
      ValueError: if there is not one memory for each call.
    """
    calls = schedule.num_calls
    if len(memory) != calls:
        raise ValueError(f"expected a memory for each of {calls} calls, got {len(memory)}")
    z_H = latents.z_H
    z_L = latents.z_L
    kept = []
    calls_of_a_cycle = schedule.L_cycles + 1
    for call, own in enumerate(memory):
        # Every (L_cycles + 1)-th call is the high level's, the others are the low level's.
        if (call + 1) % calls_of_a_cycle:
            z_L, own = low(z_L, z_H, own)
        else:
            z_H, own = high(z_H, z_L, own)
        kept.append(own)
    return Latents(z_H, z_L), tuple(kept)


def _repeat(
    level: Level,
    latents: Latents,
    injection: Float[Array, "B L D"] | None,
    calls: int,
    *,
    unroll: int = 1,
) -> Float[Array, "B L D"]:
    """Returns z_L after `calls` calls of `level`, with z_H held fixed."""
    # The sum is taken outside of the loop, which would otherwise repeat it at every call.
    context = latents.z_H if injection is None else latents.z_H + injection
    return _scan(lambda z_L: level(z_L, context), latents.z_L, calls, unroll=unroll)


def _scan(function: Callable, state, length: int, *, unroll: int = 1):
    """Returns `function` applied `length` times to `state`; a loop only where length > 1."""
    if length == 0:
        return state
    if length == 1:
        return function(state)
    unroll = min(unroll, length)
    return jax.lax.scan(
        lambda state, _: (function(state), None), state, length=length, unroll=unroll
    )[0]
