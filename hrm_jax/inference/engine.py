"""Solves streams of puzzles in a fixed batch whose slots are refilled as puzzles leave it.

    dispatch n     the device takes some steps; free slots take the next jobs of a window
    dispatch n+1   is queued before the host reads what left in dispatch n
    the tail       when the queue is empty, the last jobs move to smaller batches

The host never waits while there are jobs to hand out, and one program is compiled for each batch
size. A job's answer is a function of its puzzle and attempt alone: its neighbours, its slot and the
sizes of the batches change it by no more than the rounding of matrix products.
"""

import dataclasses
import functools
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Int

from hrm_jax.core.mesh import MeshConfig, batch_sharding, make_mesh, replicated, with_ambient_mesh
from hrm_jax.core.protocols import ThinkingModel
from hrm_jax.core.types import Batch, Relations, Variables
from hrm_jax.inference.config import EngineConfig
from hrm_jax.inference.slots import (
    NO_JOB,
    Departures,
    DispatchReport,
    Observe,
    Slots,
    Verify,
    Window,
    advance,
    compact,
    free_slots,
)
from hrm_jax.inference.thinking import Thoughts

_DISPATCHES_AHEAD = 2
"""Dispatches whose jobs the host does not know yet when it makes a window: two are in flight."""


@dataclasses.dataclass(frozen=True)
class Jobs:
    """n consecutive jobs of a queue; the fields are those of `slots.Window`."""

    inputs: Int[np.ndarray, "n T"]
    puzzle_identifiers: Int[np.ndarray, " n"]
    attempts: Int[np.ndarray, " n"]
    relations: Relations | None = None


class Queue(Protocol):
    """Numbered jobs. More may be added while some are finished, but none ever changes."""

    noise: float
    """Standard deviation of the noise on the initial states of attempts other than 0."""
    seed: int
    """Seed of that noise."""

    def __len__(self) -> int:
        """Returns the number of jobs so far."""
        ...

    def jobs(self, first: int, last: int) -> Jobs:
        """Returns the jobs number `first` to `last - 1`."""
        ...

    def finish(self, left: Departures) -> None:
        """Receives the answers of jobs, NumPy leaves [n] and [n, T], in the order they left."""
        ...

    def watch(self, jobs: Int[np.ndarray, " n"], thoughts: Thoughts) -> None:
        """Receives the proposals of jobs, NumPy leaves [n] and [n, T], a job's steps in order.

        Only an engine that observes calls it, with a job's last step before the job is finished.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Engine:
    """A model, the rules of its task and the devices, as compiled programs.

    Attributes:
      model: a model that takes one step at a time; hashable, as `PuzzleModel` is.
      config: when a puzzle leaves, and the sizes of the batches.
      verify: the rules, for `stop_when_valid` and `Answers.valid`; None for a task without.
      mesh: the devices that share every batch; by default all there are.
      observe: what to tell the queue of every step; None for nothing.

    Raises:
      ValueError: on construction, if `stop_when_valid` is set without `verify`, or the devices
        cannot share a batch equally.
    """

    model: ThinkingModel
    config: EngineConfig
    verify: Verify | None = None
    mesh: Mesh = dataclasses.field(default_factory=lambda: make_mesh(MeshConfig()))
    observe: Observe | None = None

    def __post_init__(self):
        """Raises ValueError unless the parts fit together."""
        if self.config.stop_when_valid and self.verify is None:
            raise ValueError(
                "stop_when_valid needs the rules of the task, but verify is None: pass verify, or"
                " set stop_when_valid=False and a halt_confidence"
            )
        devices = self.mesh.shape["data"]
        uneven = [size for size in self.config.batch_sizes if size % devices]
        if uneven:
            raise ValueError(
                f"batch sizes must be multiples of the {devices} devices that share them, but"
                f" {uneven} are not: change batch_size or tail_batch_sizes"
            )

    def compile(
        self,
        variables: Variables,
        puzzles: Int[np.ndarray, "N T"],
        relations: Relations | None = None,
    ) -> None:
        """Compiles every program that `run` may need for puzzles of this length and dtype."""
        none = jax.tree.map(lambda x: x[:0], relations)
        nothing = Jobs(puzzles[:0], np.zeros(0, np.int32), np.zeros(0, np.int32), none)
        # Without jobs no step is taken, but all is compiled, the move to the next size included.
        for B, smaller in self._sizes():
            slots = self._free_slots(variables, nothing, B)
            window = self._window(nothing, 0, B, noise=0.0, seed=0)
            slots, _ = self._advance(variables, slots, window, smaller)
            if smaller:
                slots = _compact(self.mesh)(slots, smaller)
            jax.block_until_ready(slots)

    def run(self, variables: Variables, queue: Queue) -> None:
        """Solves until every job of the queue is finished."""
        if not len(queue):
            return
        # Start with the smallest batch that holds all jobs.
        sizes = self._sizes()
        while len(queue) <= sizes[0][1]:
            sizes = sizes[1:]
        slots = self._free_slots(variables, queue.jobs(0, 0), sizes[0][0])
        finished = taken = 0
        running = None
        while finished < len(queue):
            B, smaller = sizes[0]
            # `taken` is what the last report says: the window may begin with jobs that were taken
            # since.
            last = min(len(queue), taken + self._window_rows(B))
            jobs = queue.jobs(taken, last)
            window = self._window(jobs, taken, B, queue.noise, queue.seed)
            slots, following = self._advance(variables, slots, window, smaller)
            if running is not None:
                # Dispatch n is read only now that n + 1 is queued, so that the device never waits.
                report: DispatchReport = jax.device_get(running)
                finished += _tell(queue, report)
                taken = int(report.taken)
                # What `slots` hold is one dispatch newer than the report. The jobs left can only
                # have become fewer since, so they fit in the smaller batch as well.
                while 0 < int(report.active) + len(queue) - taken <= sizes[0][1]:
                    slots = _compact(self.mesh)(slots, sizes[0][1])
                    sizes = sizes[1:]
            running = following

    def _sizes(self) -> list[tuple[int, int]]:
        """Returns each batch size and the next smaller one, 0 after the last."""
        sizes = self.config.batch_sizes
        return list(zip(sizes, (*sizes[1:], 0), strict=True))

    def _window_rows(self, B: int) -> int:
        """Returns W: as many jobs as can be taken before the host hears of it."""
        return _DISPATCHES_AHEAD * self.config.steps_per_dispatch * B

    def _free_slots(self, variables: Variables, jobs: Jobs, B: int) -> Slots:
        tokens = np.zeros((B, jobs.inputs.shape[1]), np.int32)
        relations = jax.tree.map(lambda x: np.zeros((B, *x.shape[1:]), x.dtype), jobs.relations)
        batch = Batch(tokens, tokens, np.zeros(B, np.int32), relations)  # pyright: ignore
        batch = _place(batch, batch_sharding(self.mesh))
        return _free_slots(self.mesh)(self.model, variables, batch)

    def _advance(
        self, variables: Variables, slots: Slots, window: Window, floor: int
    ) -> tuple[Slots, DispatchReport]:
        static = self.model, self.config, self.verify, self.observe
        return _advance(self.mesh)(*static, variables, slots, window, np.int32(floor))

    def _window(self, jobs: Jobs, first: int, B: int, noise: float, seed: int) -> Window:
        """Returns jobs as a window on the devices, padded to the W rows of a batch size."""
        count = len(jobs.attempts)
        W = self._window_rows(B)

        # One shape for each batch size, so that one program serves any number of jobs.
        def padded(rows: np.ndarray) -> np.ndarray:
            return np.pad(rows, [(0, W - count)] + [(0, 0)] * (rows.ndim - 1))

        fields = {
            "first": np.int32(first),
            "end": np.int32(first + count),
            "inputs": padded(jobs.inputs),
            "puzzle_identifiers": padded(jobs.puzzle_identifiers),
            "attempts": padded(jobs.attempts),
            "relations": jax.tree.map(padded, jobs.relations),
            "noise": np.float32(noise),
            "seed": np.uint32(seed),
        }
        return Window(**_place(fields, replicated(self.mesh)))


def _tell(queue: Queue, report: DispatchReport) -> int:
    """Passes a report on to the queue; returns how many jobs left."""
    # A boolean mask over [steps, B] picks rows in the order of the steps.
    if report.record is not None:
        thinking = np.asarray(report.record.jobs) != NO_JOB
        jobs, thoughts = jax.tree.map(
            lambda x: x[thinking], (report.record.jobs, report.record.thoughts)
        )
        # Before `finish`: a job's last step is seen before the job is over.
        queue.watch(jobs, thoughts)
    left = np.asarray(report.departures.jobs) != NO_JOB
    if left.any():
        queue.finish(jax.tree.map(lambda x: x[left], report.departures))
    return int(left.sum())


def _place(tree: Any, sharding: NamedSharding) -> Any:
    """Returns NumPy arrays that every process holds in full as arrays on the devices."""
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(x.shape, sharding, lambda rows: np.asarray(x)[rows]),
        tree,
    )


def _slot_shardings(mesh: Mesh) -> Any:
    """Returns the shardings of `Slots`: all but the count are split over the devices by slot."""
    rows: Any = batch_sharding(mesh)
    taken: Any = replicated(mesh)
    return Slots(carry=rows, jobs=rows, tokens=rows, unchanged=rows, taken=taken)


@functools.cache
def _free_slots(mesh: Mesh) -> Any:
    # Cached by mesh, as a function that is jitted anew compiles anew.
    return jax.jit(free_slots, static_argnums=0, out_shardings=_slot_shardings(mesh))


@functools.cache
def _advance(mesh: Mesh) -> Any:
    """Returns the jitted `advance`: the slots are donated, the report goes to every host."""
    return jax.jit(
        with_ambient_mesh(advance, mesh),
        static_argnums=(0, 1, 2, 3),
        donate_argnums=5,
        out_shardings=(_slot_shardings(mesh), replicated(mesh)),
    )


@functools.cache
def _compact(mesh: Mesh) -> Any:
    return jax.jit(compact, static_argnums=1, out_shardings=_slot_shardings(mesh))
