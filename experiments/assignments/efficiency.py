"""`--mode=efficiency`: a planner against first come, first served, by class of instances."""

import json
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console

from experiments.common.terminal import Table, live_line, make_console
from hrm_jax.planning.backlogs.comparing import Comparison, compare
from hrm_jax.planning.backlogs.fitting import fitted
from hrm_jax.planning.backlogs.generating import KINDS, draw_backlog
from hrm_jax.planning.formats import benchmarks
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.plan import Budget, Planner

HELD_OUT = 10_000_000
"""Seeds from here on are for measuring alone."""

_OF_EACH_KIND = 20


def instances(values: flags.FlagValues) -> Iterator[tuple[str, Instance]]:
    """Yields classes and instances: of --instances, or drawn, --limit of each class."""
    if values.instances:
        path = pathlib.Path(values.instances)
        texts = benchmarks.read_collection(path)
        for name in benchmarks.spread_evenly(list(texts), values.limit):
            yield path.name.split(".")[0], benchmarks.read_instance(name, texts[name])
        return
    numbers = fitted()
    for kind in KINDS:
        # A thousand numbers of each kind belong to a seed: two seeds share no instance unless
        # --limit is larger.
        for place in range(values.limit or _OF_EACH_KIND):
            yield str(kind), draw_backlog(numbers, kind, HELD_OUT + 1000 * values.seed + place)


def measure_efficiency(
    values: flags.FlagValues, planner: Planner, budget: Budget, console: Console
) -> dict[str, Any]:
    """Shows the table by class, and returns its figures: medians of shares, each alone."""
    chosen = list(instances(values))
    found: dict[str, list[Comparison]] = {}
    with live_line(console, planner.name, len(chosen)) as line:
        for done, (kind, instance) in enumerate(chosen, 1):
            one = compare(instance, planner, budget, values.seed)
            found.setdefault(kind, []).append(one)
            line.update(done, [kind, f"completion {one.shorter:.0%} shorter"])
    rows = {kind: _summary(of) for kind, of in found.items()}
    # Medians over all instances, not over the medians of the classes.
    rows["all"] = _summary([one for of in found.values() for one in of])
    _show(make_console(markup=False), rows)
    return {"planner": planner.name, "seed": values.seed, "classes": rows}


def _summary(found: Sequence[Comparison]) -> dict[str, Any]:
    came = [one.came for one in found if one.came is not None]
    return {
        "instances": len(found),
        "completion": _median([one.shorter for one in found]),
        "room": _median([one.room for one in found]),
        "lateness": _median([one.less_late for one in found]),
        "late_by_default": sum(one.usual_lateness > 0 for one in found),
        "behind": sum(one.shorter < 0 for one in found),
        "came_completion": _median([one.shorter for one in came]),
        "came_lateness": _median([one.less_late for one in came]),
    }


def _median(shares: Sequence[float | None]) -> float | None:
    # None stands for an instance where the default is in time: there is no lateness to shorten.
    given = [share for share in shares if share is not None]
    return round(statistics.median(given), 4) if given else None


def _show(console: Console, rows: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title="against first come, first served: medians in %")
    for name in ("class", "in all", "done", "done at most", "late", "done as came", "late as came"):
        # A heading has a word a line: seven columns of figures fit in 80.
        table.add_column(name.replace(" ", "\n"), justify="left" if name == "class" else "right")
    for kind, row in rows.items():
        table.add_row(
            kind,
            str(row["instances"]),
            _percent(row["completion"]),
            _percent(row["room"]),
            _percent(row["lateness"]),
            _percent(row["came_completion"]),
            _percent(row["came_lateness"]),
        )
    console.print(table)
    console.print(
        "done, late: how much sooner all is done, and how much less late tasks are by priority; at "
        "most: what no plan exceeds; as came: with durations other than estimated",
        highlight=False,
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def print_figures(figures: Mapping[str, Any]) -> None:
    """Prints the figures as one line of JSON."""
    print(json.dumps(figures))
