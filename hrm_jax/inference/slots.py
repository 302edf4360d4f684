"""The device's part of the engine: slots in which puzzles are solved and replaced when they leave.

Everything is a pure function of arrays with fixed shapes. The host passes in a window of waiting
jobs; before every step, inside the compiled loop, free slots take the next ones in order.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hrm_jax.core.protocols import ThinkingModel
from hrm_jax.core.types import Batch, Carry, Outputs, Relations, Variables
from hrm_jax.inference.attempts import disturb
from hrm_jax.inference.config import EngineConfig
from hrm_jax.inference.thinking import Thoughts

NO_JOB = -1

Verify: TypeAlias = Callable[..., Bool[Array, " B"]]
"""`(puzzles, proposals) -> whether each is an answer`, both [B, T]; puzzles with relations have
these as a third argument. Traceable, each row judged by itself."""

Observe: TypeAlias = Callable[[Any, Outputs], Thoughts]
"""`(model, outputs of a step) -> what to record of it`, such as `thinking.thoughts_of`."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Window:
    """The W jobs of the queue that one dispatch may take; jobs are numbered from 0.

    Attributes:
      first: number of the job in row 0.
      end: one more than the last job's number; rows from there on are padding.
      inputs: tokens of the puzzles, any integer dtype.
      puzzle_identifiers: rows of the puzzle-embedding table.
      attempts: number of each job's attempt at its puzzle; 0 starts from the model's own state.
      relations: of the puzzles, leaves [W, ...]; None for puzzles without.
      noise: standard deviation of the noise on the initial states of attempts other than 0.
      seed: seed of the noise.
    """

    first: Int[Array, ""]
    end: Int[Array, ""]
    inputs: Int[Array, "W T"]
    puzzle_identifiers: Int[Array, " W"]
    attempts: Int[Array, " W"]
    relations: Relations | None
    noise: Float[Array, ""]
    seed: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slots:
    """The puzzles being solved. Only the functions of this module write it.

    Attributes:
      carry: the model's carry; `halted` marks free slots.
      jobs: number of each slot's job, int32; stale in free slots.
      tokens: each slot's last proposal, int32; stale before its first step.
      unchanged: number of steps for which the proposal has stayed the same.
      taken: number of jobs taken from the queue so far.
    """

    carry: Carry
    jobs: Int[Array, " B"]
    tokens: Int[Array, "B T"]
    unchanged: Int[Array, " B"]
    taken: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Departures:
    """The jobs that left in each of the steps of a dispatch.

    Attributes:
      jobs: number of the job that left the slot, int32; `NO_JOB` where none did.
      tokens: its answer, int32.
      steps: number of steps it took, int32.
      confidence: the halting head's belief that the answer is right in every cell, in [0, 1].
      valid: whether the answer passes the rules; False where there is no `verify`.
    """

    jobs: Int[Array, "steps B"]
    tokens: Int[Array, "steps B T"]
    steps: Int[Array, "steps B"]
    confidence: Float[Array, "steps B"]
    valid: Bool[Array, "steps B"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Record:
    """What was proposed in each of the steps of a dispatch.

    Attributes:
      jobs: number of the job in the slot, int32; `NO_JOB` in free slots and in steps not taken.
      thoughts: the proposals of these jobs; leaves [steps, B] and [steps, B, T].
    """

    jobs: Int[Array, "steps B"]
    thoughts: Thoughts


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DispatchReport:
    """What the host learns of a dispatch.

    Attributes:
      departures: the jobs that left.
      record: every step of all jobs; None for an engine that does not observe.
      taken: number of jobs taken from the queue so far, int32.
      active: number of slots still in use, int32.
    """

    departures: Departures
    record: Record | None
    taken: Int[Array, ""]
    active: Int[Array, ""]


def free_slots(model: ThinkingModel, variables: Variables, batch: Batch) -> Slots:
    """Returns free slots, one for each row of `batch`, whose values are not used."""
    B, T = batch.inputs.shape
    return Slots(
        carry=dataclasses.replace(model.initial_carry(variables, batch), halted=jnp.ones(B, bool)),
        jobs=jnp.full(B, NO_JOB, jnp.int32),
        tokens=jnp.zeros((B, T), jnp.int32),
        unchanged=jnp.zeros(B, jnp.int32),
        taken=jnp.zeros((), jnp.int32),
    )


def advance(
    model: ThinkingModel,
    config: EngineConfig,
    verify: Verify | None,
    observe: Observe | None,
    variables: Variables,
    slots: Slots,
    window: Window,
    floor: Int[Array, ""],
) -> tuple[Slots, DispatchReport]:
    """Takes `steps_per_dispatch` steps, or stops when at most `floor` jobs are left.

    Args:
      model: the model.
      config: when a puzzle leaves.
      verify: the task's rules; None for a task without.
      observe: what to record of every step; None for nothing.
      variables: the model's values.
      slots: the puzzles being solved.
      window: the waiting jobs, the next one to take among them.
      floor: number of jobs, in slots or waiting, at which to stop early, as they fit in a smaller
        batch.

    Returns:
      The slots after the last step, and the report for the host.
    """
    steps = config.steps_per_dispatch
    B, T = slots.tokens.shape

    def goes_on(state: tuple[Array, Slots, Any]) -> Bool[Array, ""]:
        step, slots, _ = state
        # Jobs that wait count as well, as free slots take them.
        return (step < steps) & (_active(slots) + window.end - slots.taken > floor)

    def one_step(state: tuple[Array, Slots, Any]) -> tuple[Array, Slots, Any]:
        step, slots, written = state
        slots = _fill(model, variables, slots, window)
        slots, *news = _think(model, config, verify, observe, variables, slots)
        written = jax.tree.map(lambda rows, row: rows.at[step].set(row), written, news)
        return step + 1, slots, written

    # Written row by row inside the loop: a scan would have to take all the steps even when no job
    # is left.
    record = None if observe is None else _empty_record(model, observe, variables, slots, steps)
    state = (jnp.zeros((), jnp.int32), slots, [_no_departures(steps, B, T), record])
    _, slots, (departures, record) = jax.lax.while_loop(goes_on, one_step, state)
    return slots, DispatchReport(departures, record, slots.taken, _active(slots))


def _no_departures(steps: int, B: int, T: int) -> Departures:
    return Departures(
        jobs=jnp.full((steps, B), NO_JOB, jnp.int32),
        tokens=jnp.zeros((steps, B, T), jnp.int32),
        steps=jnp.zeros((steps, B), jnp.int32),
        confidence=jnp.zeros((steps, B), jnp.float32),
        valid=jnp.zeros((steps, B), bool),
    )


def _empty_record(
    model: ThinkingModel, observe: Observe, variables: Variables, slots: Slots, steps: int
) -> Record:
    """Returns a record of no jobs, in the shapes of what is observed."""
    _, outputs = jax.eval_shape(model.think, variables, slots.carry)
    seen = jax.eval_shape(lambda outputs: observe(model, outputs), outputs)
    thoughts = jax.tree.map(lambda x: jnp.zeros((steps, *x.shape), x.dtype), seen)
    return Record(jnp.full((steps, len(slots.jobs)), NO_JOB, jnp.int32), thoughts)


def compact(slots: Slots, B: int) -> Slots:
    """Returns the same jobs in B slots, which must be enough for all active ones."""
    # False sorts before True, so active slots come first, in their order. Leaves without an axis
    # are counts.
    chosen = jnp.argsort(slots.carry.halted, stable=True)[:B]
    return jax.tree.map(lambda x: x[chosen] if x.ndim else x, slots)


def verify_rows(verify: Verify, puzzles: Batch, proposals: Int[Array, "B T"]) -> Bool[Array, " B"]:
    """Returns which proposals are answers by the rules."""
    relations = () if puzzles.relations is None else (puzzles.relations,)
    return verify(puzzles.inputs, proposals, *relations)


def _active(slots: Slots) -> Int[Array, ""]:
    return (~slots.carry.halted).sum(dtype=jnp.int32)


def _fill(model: ThinkingModel, variables: Variables, slots: Slots, window: Window) -> Slots:
    """Gives the free slots the next jobs, in order, as far as there are any."""
    carry = slots.carry
    # The i-th free slot takes the i-th job after those taken: a running count numbers the slots.
    jobs = slots.taken + jnp.cumsum(carry.halted, dtype=jnp.int32) - 1
    fills = carry.halted & (jobs < window.end)
    # Rows are read for slots that are not filled, too, and then dropped by `Carry.restart`.
    rows = jnp.clip(jobs - window.first, 0, len(window.attempts) - 1)
    inputs = window.inputs[rows].astype(carry.data.inputs.dtype)
    relations = jax.tree.map(lambda x: x[rows], window.relations)
    # Zeros for labels, which nothing in solving reads.
    batch = Batch(inputs, jnp.zeros_like(inputs), window.puzzle_identifiers[rows], relations)
    initial = model.initial_carry(variables, batch).latents
    # Slots that are not filled count as first attempts, for which no noise is drawn.
    attempts = jnp.where(fills, window.attempts[rows], 0)
    initial = disturb(initial, attempts, window.noise, window.seed)
    return dataclasses.replace(
        slots,
        carry=carry.restart(fills, initial, batch),
        jobs=jnp.where(fills, jobs, slots.jobs),
        taken=slots.taken + fills.sum(dtype=jnp.int32),
    )


def _think(
    model: ThinkingModel,
    config: EngineConfig,
    verify: Verify | None,
    observe: Observe | None,
    variables: Variables,
    slots: Slots,
) -> tuple[Slots, Departures, Record | None]:
    """Takes one step in every slot; what free slots compute is not used."""
    free = slots.carry.halted
    carry, outputs = model.think(variables, slots.carry)
    tokens = outputs.logits.argmax(-1).astype(jnp.int32)
    # At a puzzle's first step the slot still holds the proposal for the puzzle before.
    same = (tokens == slots.tokens).all(-1) & (carry.steps > 1)
    unchanged = jnp.where(same, slots.unchanged + 1, 0)
    confidence = jax.nn.sigmoid(outputs.q_halt_logits.astype(jnp.float32))
    valid = jnp.zeros_like(free) if verify is None else verify_rows(verify, carry.data, tokens)

    # Strictly above, so that 1 means never.
    wishes = confidence > config.halt_confidence
    if config.stop_when_valid:
        wishes |= valid
    if config.stable_steps:
        wishes |= unchanged >= config.stable_steps
    steps = carry.steps
    # `min_steps` holds wishes back, not the limit.
    leaves = ~free & ((wishes & (steps >= config.min_steps)) | (steps >= config.max_steps))
    slots = Slots(
        carry=dataclasses.replace(carry, halted=free | leaves),
        jobs=slots.jobs,
        tokens=tokens,
        unchanged=unchanged,
        taken=slots.taken,
    )
    jobs = jnp.where(leaves, slots.jobs, NO_JOB)
    departures = Departures(jobs, tokens, steps, confidence, valid)
    record = None
    if observe is not None:
        record = Record(jnp.where(free, NO_JOB, slots.jobs), observe(model, outputs))
    return slots, departures, record
