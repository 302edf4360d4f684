"""`--mode=eval`: a planner measured on public instances, against the best makespans known."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from hrm_jax.core.files import read_text
from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.errors import FormatError, NoPlanError
from hrm_jax.planning.formats import benchmarks
from hrm_jax.planning.formats.benchmarks import Best
from hrm_jax.planning.plan import Budget, Planner, prepare

_BOOTSTRAPS = 10_000
_COMPARED = ("planner", "limit_seconds", "iterations", "seed")
"""Settings that all results of another planner have in common."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What a planner reached on an instance.

    Attributes:
      makespan: None where there was no plan that the checker accepts.
      bound: the planner's lower bound, where it gives one.
      seconds: of the clock, reading, compiling and checking left out.
    """

    instance: str
    makespan: int | None
    bound: float | None
    proven: bool
    seconds: float
    serial: int


def measure_one(name: str, text: str, planner: Planner, budget: Budget, seed: int) -> Result:
    """Returns what a planner reaches on one instance; its plan is checked here again."""
    instance = benchmarks.read_instance(name, text)
    serial = benchmarks.serial_makespan(instance)
    # Before the clock starts: for the planner hrm each size of graph has a program of its own.
    prepare(planner, instance)
    began = time.monotonic()
    try:
        plan = planner.plan(instance, budget, seed)
    except NoPlanError:
        return Result(name, None, None, False, time.monotonic() - began, serial)
    seconds = time.monotonic() - began
    # A planner is not believed: a plan that breaks a rule counts as none.
    if check_plan(instance, plan):
        return Result(name, None, None, False, seconds, serial)
    makespan = max(assignment.end for assignment in plan.assignments)
    return Result(name, makespan, plan.bound, plan.proven, round(seconds, 3), serial)


def measure(
    texts: Mapping[str, str],
    planner: Planner,
    budget: Budget,
    *,
    seed: int,
    results: pathlib.Path | None,
    settings: Mapping[str, Any],
    tell: Callable[[int, Result], None],
) -> list[Result]:
    """Measures each instance, and appends each result to a file at once.

    Args:
      texts: the instances' files, by name.
      planner: what is measured.
      budget: for each instance.
      seed: for each instance.
      results: a file with a line of JSON for each instance; those that it holds with the same
        settings are not measured again.
      settings: what a result depends on, written with each.
      tell: called with how many are done and the newest.

    Raises:
      FormatError: the file of results holds something else.
    """
    known = dict(_known(results, settings)) if results else {}
    found = []
    for name, text in texts.items():
        if name in known:
            result = known[name]
        else:
            result = measure_one(name, text, planner, budget, seed)
            if results:
                # Appended, as measuring takes hours: what is done when it stops is in the file.
                with open(results, "a", encoding="utf-8") as file:
                    file.write(json.dumps({**settings, **dataclasses.asdict(result)}) + "\n")
        found.append(result)
        tell(len(found), result)
    return found


def summary(results: Iterable[Result], best: Mapping[str, Best]) -> dict[str, Any]:
    """Returns the figures of an evaluation.

    Raises:
      FormatError: the best makespan of an instance is not known.
    """
    results = list(results)
    missing = [result.instance for result in results if result.instance not in best]
    if missing:
        raise FormatError(
            f"expected the best makespan of {missing[0]} in --best, got {len(best)} others; "
            "name the file that belongs to --instances"
        )
    reached = [(r, best[r.instance]) for r in results]
    # Where the best makespan known is not proven, nobody can say that a plan is optimal.
    known = [(r, b) for r, b in reached if b.proven]
    gaps = [_gap(r, b) for r, b in reached]
    return {
        "instances": len(results),
        "feasible": sum(r.makespan is not None for r in results),
        "optimal": sum(r.makespan is not None and r.makespan <= b.makespan for r, b in known),
        "known_optimal": len(known),
        "mean_gap": round(sum(gaps) / len(gaps), 5) if gaps else 0.0,
        "better_than_best": sum(
            r.makespan is not None and r.makespan < b.makespan for r, b in reached
        ),
        "proven": sum(r.proven for r in results),
        "seconds": round(sum(r.seconds for r in results), 1),
    }


def compare(
    results: Iterable[Result], path: pathlib.Path, best: Mapping[str, Best]
) -> dict[str, Any]:
    """Returns by how much gaps differ from those of another planner on the same instances.

    Args:
      results: of the planner.
      path: the file of the other's results.
      best: the best makespans known.

    Returns:
      The mean of gap less other gap, negative where the planner is better, its 95 % interval
      (bootstrap over instances), and how many instances are better and worse.

    Raises:
      FormatError: an instance is missing there, or was measured with several settings.
    """
    rows = list(_rows(path, _COMPARED))
    others = {result.instance: result for _, result in rows}
    if len(others) < len(rows) or any(settings != rows[0][0] for settings, _ in rows):
        raise FormatError(
            f"{path}: expected one result an instance, all with the same settings, got several; "
            "name a file of one --planner with one budget in --against"
        )
    results = list(results)
    missing = [result.instance for result in results if result.instance not in others]
    if missing:
        raise FormatError(
            f"{path}: expected a result of {missing[0]}, got none; "
            "measure the other planner with the same --instances and --limit"
        )
    differences = np.array(
        [_gap(r, best[r.instance]) - _gap(others[r.instance], best[r.instance]) for r in results]
    )
    random = np.random.default_rng(0)
    drawn = random.choice(differences, (_BOOTSTRAPS, len(differences))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "against": rows[0][0]["planner"],
        "difference": round(float(differences.mean()), 5),
        "interval": [round(float(low), 5), round(float(high), 5)],
        "better": int((differences < 0).sum()),
        "worse": int((differences > 0).sum()),
    }


def _gap(result: Result, best: Best) -> float:
    # Without a plan the gap is that of doing one task after another.
    reached = result.serial if result.makespan is None else result.makespan
    return reached / best.makespan - 1


def _known(path: pathlib.Path, settings: Mapping[str, Any]) -> Iterable[tuple[str, Result]]:
    if not path.exists():
        return
    for theirs, result in _rows(path, settings):
        # Lines with other settings stay in the file, for whoever measures with those again.
        if theirs == settings:
            yield result.instance, result


def _rows(path: pathlib.Path, settings: Iterable[str]) -> Iterable[tuple[dict[str, Any], Result]]:
    """Yields the named settings and the result of each line."""
    fields = {field.name for field in dataclasses.fields(Result)}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            row = json.loads(line)
            yield {key: row[key] for key in settings}, Result(**{key: row[key] for key in fields})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FormatError(
                f"{path}, line {number}: expected a result of an instance, got {line[:40]!r}; "
                "remove the line, or name another file"
            ) from error
