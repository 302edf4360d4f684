"""How a proposer is measured: one pass, then a search; and the exact method beside it."""

import dataclasses
import time
from collections.abc import Callable

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool

from hrm_jax.core.config import configclass, field
from hrm_jax.core.protocols import ThinkingModel
from hrm_jax.core.types import Variables
from hrm_jax.data.differing import solver
from hrm_jax.data.differing.problem import BLANK_TOKEN, is_solution
from hrm_jax.inference.config import EngineConfig, SearchConfig
from hrm_jax.inference.engine import Engine
from hrm_jax.inference.search import search
from hrm_jax.inference.stream import Answers, solve_stream
from hrm_jax.tasks.differing.kinds import Kind, Solves
from hrm_jax.tasks.differing.puzzles import PuzzleSet

Progress = Callable[[int], None]


@configclass
class MeasureConfig:
    """Budget of an evaluation."""

    puzzles: int = field(256, help="held-out puzzles looked at", at_least=1)
    batch_size: int = field(64, help="puzzles thought about at once", at_least=16)
    max_steps: int = field(64, help="steps of the single pass", at_least=1)
    search: SearchConfig = dataclasses.field(
        default_factory=lambda: SearchConfig(
            attempts=48, branch=True, max_steps=1, symmetries=False, noise=0.5
        )
    )


@dataclasses.dataclass(frozen=True)
class Measured:
    """Answers to N puzzles; those to a search include the single pass.

    Attributes:
      single: of one pass.
      searched: after the search; the same without one.
    """

    single: Answers
    searched: Answers


@dataclasses.dataclass(frozen=True)
class Exact:
    """What the exact method found.

    Attributes:
      solved: whether it found a solution within its guesses.
      guesses: mean number.
      seconds: of processor time, mean.
    """

    solved: Bool[np.ndarray, " N"]
    guesses: float
    seconds: float


def measure(
    model: ThinkingModel,
    variables: Variables,
    kind: Kind,
    puzzles: PuzzleSet,
    config: MeasureConfig,
    mesh: Mesh,
    progress: Progress = lambda count: None,
) -> Measured:
    """Returns what a proposer answers; whether an answer counts is told by the rules alone.

    Args:
      model: the proposer.
      variables: its values.
      kind: of the puzzles.
      puzzles: all of them are looked at.
      config: the budget; `puzzles` is not read.
      mesh: the devices.
      progress: called with the number of puzzles done; each counts twice, once for the search.
    """
    limits = EngineConfig(
        batch_size=config.batch_size,
        tail_batch_sizes=(config.batch_size // 8,),
        max_steps=config.max_steps,
    )
    engine = Engine(model, limits, Solves(kind), mesh)
    relations = puzzles.relations
    single = solve_stream(engine, variables, puzzles.inputs, relations=relations, progress=progress)
    # Without a search the single pass counts for both.
    if not config.search.attempts:
        progress(len(puzzles))
        return Measured(single, single)
    # What is solved already is not searched.
    progress(int(single.valid.sum()))
    searched = search(
        engine,
        variables,
        puzzles.inputs,
        single,
        config.search,
        branching=puzzles.branching(),
        relations=relations,
        progress=progress,
    )
    return Measured(single, searched)


def solve_exactly(puzzles: PuzzleSet) -> Exact:
    """Returns what the exact method finds of the same puzzles, one solution each."""
    # Processor time, which other processes on the machine change little.
    start = time.process_time()
    # Tokens count from the blank's; the solver's cells count from 0, the blank.
    cells = puzzles.inputs - np.uint8(BLANK_TOKEN)
    pairs = list(zip(cells, puzzles.problems, strict=True))
    found = [solver.search(one, problem, limit=1) for one, problem in pairs]
    seconds = (time.process_time() - start) / len(pairs)
    solved = [
        is_solution(answer.solution, one, problem)
        for answer, (one, problem) in zip(found, pairs, strict=True)
    ]
    return Exact(np.array(solved), float(np.mean([one.guesses for one in found])), seconds)
