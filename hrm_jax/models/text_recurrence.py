"""The recurrence over texts: both levels are stacks of blocks that are handed their attention."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.core.types import Latents
from hrm_jax.models.call_cache import Calls
from hrm_jax.models.recurrence import Level, Schedule, recur, recur_with_memory
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.gated_stack import GatedStack


def recur_over_text(
    schedule: Schedule,
    high: GatedStack,
    low: GatedStack,
    latents: Latents,
    attend: Attend,
    memory: Sequence[Any] | None = None,
) -> tuple[Latents, Calls]:
    """Runs all cycles and, given a memory, collects what `attend` returns for each call.

    Args:
      schedule: the numbers of calls and, without a memory, which carry gradient.
      high: the slow level.
      low: the fast level.
      latents: the states to start from.
      attend: attention, used in every block.
      memory: one for each of the `H_cycles * (L_cycles + 1)` calls, in calling order; None for
        training, where nothing is kept.

    Returns:
      The states after the last cycle, and the new memories; an empty tuple without a memory.

    Raises:
      ValueError: if there is not one memory for each call.
    """
    high_level = _as_level(high, attend)
    low_level = _as_level(low, attend)
    if memory is None:
        return recur(schedule, high_level, low_level, latents), ()
    return recur_with_memory(schedule, high_level, low_level, latents, memory)


def movement_over_text(
    schedule: Schedule, high: GatedStack, low: GatedStack, latents: Latents, attend: Attend
) -> tuple[Float[Array, "calls B T"], Float[Array, "calls B T"]]:
    """Returns how far each call moves its level's state, over the size of the state before it.

    Args:
      schedule: the numbers of calls.
      high: the slow level.
      low: the fast level.
      latents: the states to start from.
      attend: attention, used in every block.

    Returns:
      Of the `H_cycles` calls of the slow level, and of the `H_cycles * L_cycles` calls of the fast
      one, each in calling order.
    """
    slow_level = _moving(_as_level(high, attend))
    fast_level = _moving(_as_level(low, attend))
    no_memory = (None,) * schedule.num_calls
    # What each call keeps is not a cache here, but how far it moved its state.
    _, moved = recur_with_memory(schedule, slow_level, fast_level, latents, no_memory)
    calls_of_a_cycle = schedule.L_cycles + 1
    # Every (L_cycles + 1)-th call is the slow level's, as in `recur_with_memory`.
    slow = moved[schedule.L_cycles :: calls_of_a_cycle]
    fast = [one for call, one in enumerate(moved, 1) if call % calls_of_a_cycle]
    return jnp.stack(slow), jnp.stack(fast)


def _moving(level: Level) -> Level:
    """Returns a level that remembers how far it has moved its state."""

    def apply(params: Any, hidden: Array, injection: Array, _: None) -> tuple[Array, Array]:
        new = level.apply(params, hidden, injection)
        before, change = (
            jnp.linalg.norm(state.astype(jnp.float32), axis=-1) for state in (hidden, new - hidden)
        )
        # A state of zeros would divide by zero.
        return new, change / jnp.maximum(before, 1e-9)

    return Level(level.params, apply)


def _as_level(module: GatedStack, attend: Attend) -> Level:
    """Returns the stack as a pure function of its parameters.

    Called with a memory, it returns the new one as well.
    """
    graphdef, params = nnx.split(module)

    def apply(params: Any, hidden: Array, injection: Array, *memory: Any) -> Any:
        hidden, kept = nnx.merge(graphdef, params)(hidden, injection, attend, *memory)
        return (hidden, kept) if memory else hidden

    return Level(params, apply)
