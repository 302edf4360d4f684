"""The modes of the command and their flags."""

import contextlib
import json
import pathlib

from absl import flags

from experiments.assignments import evaluation
from experiments.assignments.planners import PLANNERS, make_planner
from experiments.common.terminal import live_line, make_console
from hrm_jax.core.config import check
from hrm_jax.planning import benchmarks
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.plan import Budget


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_enum("mode", "eval", list(MODES), "what to do; see above")
    flags.DEFINE_string("template", None, "write a commented example to this folder, and end")
    flags.DEFINE_enum("planner", "exact", list(PLANNERS), "who plans")
    flags.DEFINE_float("seconds", None, "time to plan in; 10 without --iterations", lower_bound=0.0)
    flags.DEFINE_integer(
        "iterations", None, "plans to try instead: repeats a plan exactly", lower_bound=1
    )
    flags.DEFINE_integer("seed", 0, "of all randomness", lower_bound=0)
    flags.DEFINE_integer("workers", 8, "threads of the exact planner", lower_bound=1)
    flags.DEFINE_string("instances", None, "eval: a folder or tar archive of .dzn or .sm files")
    flags.DEFINE_string("best", None, "eval: CSV of the best makespans known")
    flags.DEFINE_integer(
        "limit", 0, "eval: so many instances, spread evenly; 0: all", lower_bound=0
    )
    flags.DEFINE_string(
        "results", None, "eval: file of one JSON line an instance; what it holds is not run again"
    )


def budget_of(values: flags.FlagValues) -> Budget:
    """Returns the time to plan in."""
    seconds = values.seconds
    if seconds is None and values.iterations is None:
        seconds = 10.0
    return Budget(seconds=seconds, iterations=values.iterations)


def evaluate(values: flags.FlagValues) -> int:
    """Measures a planner; ends with one line of JSON on standard output."""
    for name in ("instances", "best"):
        check(
            values[name].value is not None,
            name,
            expected="a file",
            got=None,
            remedy=f"add --{name}=FILE",
        )
    texts = benchmarks.read_collection(pathlib.Path(values.instances))
    best = benchmarks.read_best(pathlib.Path(values.best))
    names = benchmarks.spread_evenly(list(texts), values.limit)
    planner = make_planner(values.planner, Weights(), values.workers)
    budget = budget_of(values)
    settings = {
        "planner": values.planner,
        "limit_seconds": budget.seconds,
        "iterations": budget.iterations,
        "seed": values.seed,
        "workers": values.workers if values.planner == "exact" else None,
    }
    console = make_console(stderr=True, markup=False)
    with contextlib.ExitStack() as stack:
        line = stack.enter_context(live_line(console, values.planner, len(names)))

        def tell(done: int, result: evaluation.Result) -> None:
            line.update(done, [result.instance, f"makespan {result.makespan}"])

        found = evaluation.measure(
            {name: texts[name] for name in names},
            planner,
            budget,
            seed=values.seed,
            results=pathlib.Path(values.results) if values.results else None,
            settings=settings,
            tell=tell,
        )
    print(json.dumps(evaluation.summary(found, best)))
    return 0


MODES = {"eval": evaluate}
