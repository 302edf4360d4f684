"""`--mode=forecast`: when a plan will be done, as a distribution."""

import json
import pathlib
from typing import Any

import numpy as np
from rich.console import Console

from experiments.common.terminal import Table
from hrm_jax.core.files import write_atomically
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.forecast.timeline import Timeline, sprints_until
from hrm_jax.planning.foreseeing import PERCENTILES, foresee, replay
from hrm_jax.planning.formats.times import end_text
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.plan import Plan

_LEAST_ERRORS = 10
_LEAST_WEEKS = 8
_LOOKED_AT = 30
"""Tasks whose effect on the end is simulated, those that go with it most."""

_SHOWN = 5
_TITLE = 40

BY_RANGES = "the estimates' ranges, low to high"
BY_ERRORS = "the errors of {} past estimates"
BY_TEXTS = "sizes of {} past issues that are alike: --history has no column estimate"


def make_forecast(
    instance: Instance, plan: Plan, history: pathlib.Path | None, samples: int, seed: int
) -> tuple[Timeline, dict[str, Any]]:
    """Returns the simulation of a checked plan, and what it says as plain values.

    Args:
      instance: the problem.
      plan: one that the checker accepts.
      history: a CSV of past issues, or None.
      samples: how many simulations.
      seed: of all chance.

    Raises:
      FormatError: there is nothing that tells how sure the estimates are.
      UserError: the history is not as documented.
    """
    if not instance.tasks:
        raise FormatError(f"{instance.name}: expected open tasks, got none; nothing is left to do")
    made, source, weekly = _simulated(instance, plan, history, samples, seed)
    if made is None:
        raise FormatError(
            "forecast: expected estimates with low and high, or --history=FILE of past issues, got "
            "neither; without them nothing tells how sure the estimates are"
        )
    found = {
        "instance": instance.name,
        "planner": plan.planner,
        "samples": samples,
        "seed": seed,
        "durations_from": source,
        "planned": _moment(instance, max((one.end for one in plan.assignments), default=0)),
        "whole": _percentiles(instance, [made.percentile(p) for p in PERCENTILES]),
        "due": _due(instance, plan, made),
        "movers": _movers(instance, made),
    }
    # A second opinion, which knows nothing of the plan: only a history has weeks to tell of.
    rate = None if weekly is None else _throughput(instance, weekly, samples, seed)
    return made, found | ({"throughput": rate} if rate else {})


def show_forecast(console: Console, found: dict[str, Any]) -> None:
    """Prints what `make_forecast` found, in 80 columns."""
    table = Table(title="done by")
    for name in ("what", "planned", *(f"P{p}" for p in PERCENTILES), "in time"):
        table.add_column(name, no_wrap=True)
    table.add_row("all", *_cells(found["planned"], found["whole"]), "")
    if "throughput" in found:
        row = found["throughput"]
        table.add_row("as past weeks", *_cells(None, row), "")
    for row in found["due"]:
        cells = _cells(row["planned"], row)
        # Ids of any length: cut, so that the percentiles keep their room in 80 columns.
        table.add_row(row["task"][:14], *cells, f"{row['in_time']:.0%}")
    console.print(table)
    console.print(
        f"{found['samples']} simulations of the plan, its people and orders kept; durations from "
        f"{found['durations_from']}",
        highlight=False,
    )
    if found["movers"]:
        console.print("what moves the end most: P85 falls by so much if the task takes its median")
    for row in found["movers"]:
        name = f"{row['task']} {row['title']}".strip()[:_TITLE]
        console.print(f"  {name}: {row['ticks']:g} ticks", highlight=False)


def write_forecast(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Writes a forecast as JSON.

    Raises:
      FormatError: the name does not end so.
    """
    if path.suffix.lower() != ".json":
        raise FormatError(f"out: expected a file that ends with .json, got {path}; rename it")
    write_atomically(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def forecast_line(instance: Instance, made: Timeline) -> str:
    """Returns by when all is done, in a line."""
    ends = (_text(instance, made.percentile(p)) for p in PERCENTILES)
    told = ", ".join(f"P{p} {end}" for p, end in zip(PERCENTILES, ends, strict=True))
    return f"done by: {told}"


def _simulated(
    instance: Instance, plan: Plan, history: pathlib.Path | None, samples: int, seed: int
) -> tuple[Timeline | None, str, np.ndarray | None]:
    if history is None:
        return foresee(instance, plan, samples=samples, seed=seed), BY_RANGES, None
    # scikit-learn takes seconds to import.
    from hrm_jax.planning.forecast import learned

    past = learned.read_past(history)
    # A history without estimates cannot say how wrong they were: sizes are learned from its texts.
    if past.errors is None:
        days = _days_by_texts(instance, past, samples, seed)
        return replay(instance, plan, days), BY_TEXTS.format(len(past.sizes)), past.weekly
    if len(past.errors) < _LEAST_ERRORS:
        raise FormatError(
            f"{history}: expected at least {_LEAST_ERRORS} past issues with estimate and size, got "
            f"{len(past.errors)}; add older ones"
        )
    made = foresee(instance, plan, past.errors, samples=samples, seed=seed)
    return made, BY_ERRORS.format(len(past.errors)), past.weekly


def _days_by_texts(instance: Instance, past: Any, samples: int, seed: int) -> np.ndarray:
    from hrm_jax.planning.forecast import learned, timeline
    from hrm_jax.planning.forecast.estimates import EstimateConfig
    from hrm_jax.planning.forecast.text_features import Issues
    from hrm_jax.planning.forecast.threads import single_threaded

    tasks = instance.tasks
    titles = [task.title or task.id for task in tasks]
    with single_threaded():
        found = learned.learn(past.issues, past.sizes, EstimateConfig(seed=seed))
        # An instance keeps titles alone, so the descriptions are empty.
        new = Issues([task.id for task in tasks], titles, [""] * len(tasks))
        rng = np.random.default_rng(seed)
        return timeline.draw_durations(found.model(new), found.past.ranks, samples, rng)


def _due(instance: Instance, plan: Plan, made: Timeline) -> list[dict[str, Any]]:
    planned = plan.by_task()
    return [
        {
            "task": task.id,
            "title": task.title,
            "due": _moment(instance, task.due),
            "planned": _moment(instance, planned[task.id].end),
            "in_time": made.in_time(place, task.due),
            **_percentiles(instance, [made.percentile(p, [place]) for p in PERCENTILES]),
        }
        for place, task in enumerate(instance.tasks)
        if task.due is not None
    ]


def _movers(instance: Instance, made: Timeline) -> list[dict[str, Any]]:
    # Each effect takes a simulation of its own. What goes with the end most, by covariance, is
    # found without one, and only these tasks are simulated.
    centred = made.durations - made.durations.mean(axis=0)
    together = centred.T @ (made.whole - made.whole.mean())
    among = np.argsort(-together, kind="stable")[:_LOOKED_AT]
    effects = made.movers(among=[int(task) for task in among])
    return [
        {
            "task": instance.tasks[task].id,
            "title": instance.tasks[task].title,
            "ticks": round(float(effects[task]), 1),
        }
        for task in np.argsort(-effects, kind="stable")[:_SHOWN]
        # Less would be shown as 0 ticks.
        if effects[task] >= 0.05
    ]


def _throughput(
    instance: Instance, weekly: np.ndarray, samples: int, seed: int
) -> dict[str, Any] | None:
    """Returns by when the plan's work is done if weeks finish as much as past ones did."""
    days = instance.days
    # Without a calendar a week is five days of eight ticks, as estimates in days are read there.
    per_day = days.ticks_per_day if days else 8
    week = per_day * (len(days.weekdays) if days else 5)
    work = sum(task.duration for task in instance.tasks) / per_day
    if len(weekly) < _LEAST_WEEKS or not work:
        return None
    weeks = sprints_until(work, weekly, samples, np.random.default_rng(seed))
    # Infinity at both ends of an interpolation is no number.
    ends = np.percentile(weeks, PERCENTILES, method="higher")
    if not np.isfinite(ends).all():
        return None
    return {
        "weeks": len(weekly),
        "work_days": work,
        **_percentiles(instance, [instance.now + week * float(end) for end in ends]),
    }


def _percentiles(instance: Instance, ticks: list[float]) -> dict[str, Any]:
    return {f"P{p}": _moment(instance, at) for p, at in zip(PERCENTILES, ticks, strict=True)}


def _moment(instance: Instance, tick: float) -> dict[str, Any]:
    moment = {"tick": round(float(tick), 1)}
    if instance.days is None:
        return moment
    # Part of a tick takes the whole tick: an end is never told too early.
    return {**moment, "date": instance.days.end_moment(int(np.ceil(tick))).isoformat()}


def _cells(planned: dict[str, Any] | None, row: dict[str, Any]) -> list[str]:
    moments = [planned, *(row[f"P{p}"] for p in PERCENTILES)]
    return ["" if one is None else _short(one) for one in moments]


def _short(moment: dict[str, Any]) -> str:
    if "date" not in moment:
        return f"{moment['tick']:g}"
    return moment["date"][:10]


def _text(instance: Instance, tick: float) -> str:
    return end_text(instance, int(np.ceil(tick)))
