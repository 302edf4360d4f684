"""The device under a measurement: its name, and how fast it multiplies, copies and dispatches.

Programs are timed in turns. A turn dispatches so many calls that they take some milliseconds, and
waits for the last: the device works through them without pause, and the host's dispatch is hidden
as long as a call takes longer than `Card.dispatch_seconds`.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

TURN_SECONDS = 0.02
MOST_CALLS = 400


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to time.

    Attributes:
      dispatch: starts one call and returns what `wait` takes.
      wait: returns when that call is done.
    """

    dispatch: Callable[[], Any]
    wait: Callable[[Any], Any] = jax.block_until_ready


@dataclasses.dataclass(frozen=True)
class Card:
    """A device and its measured ceilings.

    Attributes:
      name: as the driver calls it.
      bfloat16_flops: of a large matrix product, a second.
      float32_flops: likewise, at JAX's default precision.
      copy_bytes: read and written by a large copy, a second.
      dispatch_seconds: of a program that does next to nothing.
    """

    name: str
    bfloat16_flops: float
    float32_flops: float
    copy_bytes: float
    dispatch_seconds: float

    def peak_flops(self, dtype: str) -> float:
        """Returns the ceiling of matrix products of a dtype."""
        return self.float32_flops if dtype == "float32" else self.bfloat16_flops


def measure_card(small: bool) -> Card:
    """Measures the ceilings of the first device; with `small`, on sizes that a CPU can do."""
    size = 256 if small else 8192
    length = 1 << 16 if small else 1 << 30
    one = jnp.zeros(1)
    increment = jax.jit(lambda x: x + 1).lower(one).compile()
    source = jnp.ones(length, jnp.float32)
    copy = jax.jit(lambda x: x + 1).lower(source).compile()
    seconds = take_turns(
        {
            "copy": Program(lambda: copy(source)),
            "dispatch": Program(lambda: increment(one)),
            "bfloat16": _matmul(size, "bfloat16"),
            "float32": _matmul(size, "float32"),
        },
        rounds=3,
    )
    flops = 2.0 * size**3
    return Card(
        name=jax.devices()[0].device_kind,
        bfloat16_flops=flops / seconds["bfloat16"],
        float32_flops=flops / seconds["float32"],
        # Four bytes read and four written for each element.
        copy_bytes=8.0 * length / seconds["copy"],
        dispatch_seconds=seconds["dispatch"],
    )


def _matmul(size: int, dtype: str) -> Program:
    # Random operands: on zeros a card draws less power and runs faster than on data.
    left, right = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    product = jax.jit(jnp.matmul).lower(left, right).compile()
    return Program(lambda: product(left, right))


def take_turns(programs: Mapping[str, Program], rounds: int) -> dict[str, float]:
    """Times warm programs in turns and returns the median seconds of a call of each."""
    calls = {}
    for name, program in programs.items():
        # The first call may still allocate; three more tell how many calls fill a turn.
        turn_seconds(program, 1)
        seconds = turn_seconds(program, 3)
        calls[name] = max(1, min(MOST_CALLS, round(TURN_SECONDS / seconds)))
    turns: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            turns[name].append(turn_seconds(program, calls[name]))
    return {name: statistics.median(seconds) for name, seconds in turns.items()}


def turn_seconds(program: Program, calls: int) -> float:
    """Returns the mean seconds of a call, over `calls` in a row."""
    start = time.perf_counter()
    last = None
    for _ in range(calls):
        last = program.dispatch()
    # A device runs programs in the order of their dispatch, so the last one's end is everyone's.
    program.wait(last)
    return (time.perf_counter() - start) / calls
