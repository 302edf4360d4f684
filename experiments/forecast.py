"""Forecasts of work from a project's past: sizes, delays, sprints and times of completion.

    python -m experiments.forecast --mode=fit --history=past.csv --model=learned
    python -m experiments.forecast --mode=predict --model=learned --tasks=new.csv [--out=sized.csv]
    python -m experiments.forecast --mode=timeline --model=learned --tasks=new.csv --people=ann,bob
    python -m experiments.forecast --mode=eval --sprints=FOLDER        # or --story_points, --delays

A history is a CSV with the columns key, title, size (points, hours, days: what is estimated) and,
if there are any, description, type, priority, component and finished (2015-03-31, by which rows are
put in order). Tasks have the same columns without size; for a timeline also after (keys of tasks in
rows above that must end before), people (who may do it), both with blanks between, and due (from
now, in the unit of sizes). eval measures on published data: see docs/forecast.md, where every
figure is.
"""

import csv
import dataclasses
import io
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import app, flags
from rich.console import Console

from experiments.common import command
from experiments.common.terminal import Table, counting_progress, make_console
from hrm_jax.core.files import write_atomically

_MODES = {
    "eval": ("sprints", "story_points", "delays", "gap", "coverage", "seed"),
    "fit": ("history", "model", "coverage", "seed"),
    "predict": ("model", "tasks", "out"),
    "timeline": ("model", "tasks", "people", "samples", "seed"),
}
"""For each mode, the flags that it reads."""

_NEEDED = {
    "eval": (),
    "fit": ("history", "model"),
    "predict": ("model", "tasks"),
    "timeline": ("model", "tasks", "people"),
}
"""For each mode, the flags that it cannot do without."""

_PERCENTILES = (50, 85, 95)
# A heading has a word a line: long words are broken by hand, so that eleven columns fit in 80.
_DELAY_COLUMNS = (
    "project",
    "issues",
    "late",
    "F always",
    "F logi stic",
    "F boost",
    "preci sion",
    "re call",
    "AUC",
    "in side",
    "width",
)

_MODE = flags.DEFINE_enum("mode", "predict", list(_MODES), "what to do; see above")
_HISTORY = flags.DEFINE_string("history", None, "fit: past issues with their sizes, .csv")
_MODEL = flags.DEFINE_string(
    "model", None, "folder of what was learned: fit writes, others read it"
)
_TASKS = flags.DEFINE_string("tasks", None, "predict, timeline: tasks to be estimated, .csv")
_OUT = flags.DEFINE_string("out", None, "predict: a .csv to write estimates to")
_PEOPLE = flags.DEFINE_list("people", [], "timeline: names of who does the tasks")
_SAMPLES = flags.DEFINE_integer("samples", 2000, "timeline: simulations", lower_bound=100)
_COVERAGE = flags.DEFINE_float("coverage", 0.85, "fit, eval: wished share inside intervals")
_SEED = flags.DEFINE_integer("seed", 0, "of forests and simulations", lower_bound=0)
_SPRINTS = flags.DEFINE_string("sprints", None, "eval: folder of sprints")
_POINTS = flags.DEFINE_string("story_points", None, "eval: folder of story points")
_DELAYS = flags.DEFINE_string("delays", None, "eval: folder of issues with due dates")
_GAP = flags.DEFINE_integer(
    "gap", 0, "eval --sprints: ids before a sprint whose outcome counts as unknown", lower_bound=0
)


def main() -> int:
    """Does what --mode says; returns the exit code."""
    _refuse_unread()
    # scikit-learn takes seconds to import: --help and wrong flags do without.
    from hrm_jax.planning.forecast.threads import single_threaded

    with single_threaded():
        return {"eval": _eval, "fit": _fit, "predict": _predict, "timeline": _timeline}[
            _MODE.value
        ](make_console())


def _refuse_unread() -> None:
    """Refuses flags of other modes, which would change nothing, and names those that miss."""
    own = {name for names in _MODES.values() for name in names}
    # Whether a flag is on the command line counts, not its value: a default is no mistake.
    for name in sorted(own - set(_MODES[_MODE.value])):
        if flags.FLAGS[name].present:
            others = ", ".join(mode for mode, names in _MODES.items() if name in names)
            raise app.UsageError(
                f"--mode={_MODE.value} does not read --{name}, only {others} does; leave it out"
            )
    for name in _NEEDED[_MODE.value]:
        if not flags.FLAGS[name].value:
            raise app.UsageError(f"--mode={_MODE.value} needs --{name}")


def _path(flag: flags.FlagHolder) -> pathlib.Path:
    return pathlib.Path(str(flag.value))


def _fit(console: Console) -> int:
    from hrm_jax.planning.forecast import learned
    from hrm_jax.planning.forecast.estimates import EstimateConfig

    history, folder = _path(_HISTORY), _path(_MODEL)
    issues, sizes = learned.read_history(history)
    config = EstimateConfig(coverage=_COVERAGE.value, seed=_SEED.value)
    found = learned.learn(issues, sizes, config)
    learned.save(folder, history, found)
    console.print(
        f"{len(issues)} issues; the last {len(found.past.actual)} estimated from those before each:"
    )
    console.print(f"  mean error {found.error:.2f}; of the median instead {found.usual_error:.2f}")
    console.print(f"  inside of their {config.coverage:.0%} intervals {found.coverage:.0%}")
    # Otherwise nothing would show that predicted sizes are no better than the median.
    if found.error >= found.usual_error:
        console.print(
            "The texts say nothing of sizes that the median does not: rely on the intervals."
        )
    console.print(f"kept in {folder}", soft_wrap=True)
    return 0


def _predict(console: Console) -> int:
    from hrm_jax.planning.forecast import learned

    _, issues = learned.read_tasks(_path(_TASKS))
    found = learned.load(_path(_MODEL))
    made = found.model(issues)
    ends = [family.at(found.past.intervals.level) for family in made.families()]
    rows = [
        # An interval may reach below 0, which no size does.
        (key, title, point, max(low, 0.0), high)
        for key, title, point, (low, high) in zip(
            issues.keys, issues.titles, made.quantile(0.5), ends, strict=True
        )
    ]
    shown = Table(title=f"sizes, intervals of {found.config.coverage:.0%}")
    shown.add_column("task", no_wrap=True, max_width=14)
    for name in ("size", "from", "to"):
        shown.add_column(name, justify="right")
    shown.add_column("title", no_wrap=True, max_width=34)
    for key, title, point, low, high in rows:
        shown.add_row(key, f"{point:.1f}", f"{low:.1f}", f"{high:.1f}", title)
    console.print(shown)
    if _OUT.value:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("key", "size", "low", "high"))
        writer.writerows((key, point, low, high) for key, _, point, low, high in rows)
        write_atomically(_path(_OUT), text.getvalue())
    return 0


def _timeline(console: Console) -> int:
    from hrm_jax.planning.forecast import learned, timeline

    table, issues = learned.read_tasks(_path(_TASKS))
    # Before the model is read: a table that names nobody or a key that is not there ends it at
    # once.
    schedule, due = learned.schedule_of(table, _PEOPLE.value), learned.due_times(table)
    found = learned.load(_path(_MODEL))
    rng = np.random.default_rng(_SEED.value)
    ranks = found.past.ranks
    durations = timeline.draw_durations(found.model(issues), ranks, _SAMPLES.value, rng)
    made = timeline.simulate(durations, schedule)
    shown = _table("by when, in the unit of sizes", ["what", *(f"P{p}" for p in _PERCENTILES)])
    shown.add_row("all tasks", *(f"{made.percentile(p):.1f}" for p in _PERCENTILES))
    for task, time in due.items():
        ends = [f"{made.percentile(p, [task]):.1f}" for p in _PERCENTILES]
        late = f"{issues.keys[task]}, due {time:g}, in time {made.in_time(task, time):.0%}"
        shown.add_row(late, *ends)
    console.print(shown)
    # Each task is simulated again without its doubt, so this takes as many simulations as tasks.
    movers = made.movers()
    shown = _table("what moves the end most", ["task", "P85 falls by"])
    for task in np.argsort(-movers)[:5]:
        shown.add_row(f"{issues.keys[task]} {issues.titles[task]:.40}", f"{movers[task]:.1f}")
    console.print(shown)
    console.print("P85 falls by so much if the task is sure to take its median.")
    return 0


def _eval(console: Console) -> int:
    parts: dict[str, tuple[str | None, Callable[[Console, pathlib.Path], dict[str, Any]]]] = {
        "sprints": (_SPRINTS.value, _eval_sprints),
        "story_points": (_POINTS.value, _eval_points),
        "delays": (_DELAYS.value, _eval_delays),
    }
    given = {name: part for name, part in parts.items() if part[0]}
    if not given:
        raise app.UsageError("--mode=eval needs --sprints, --story_points or --delays")
    for name, (folder, measure) in given.items():
        # A line for each data set as soon as it is measured: the next ones may take long.
        print(json.dumps({name: measure(console, pathlib.Path(str(folder)))}))
    return 0


def _eval_sprints(console: Console, folder: pathlib.Path) -> dict[str, Any]:
    from hrm_jax.planning.forecast import sprints, timeline_report, velocity

    config = velocity.VelocityConfig(coverage=_COVERAGE.value, gap=_GAP.value, seed=_SEED.value)
    reports, backlogs = {}, []
    names = sprints.projects(folder)
    # The data set has each project at four moments.
    with counting_progress(console, "sprints", 4 * len(names), "moments") as done:
        for project in names:
            snapshots = sprints.read_project(folder, project)
            # Outcomes are the same at all moments, so one of them is enough.
            backlogs += timeline_report.backlogs_held(snapshots[0], _SEED.value)
            # A forecast at a moment knows that moment and those before.
            for end in range(1, len(snapshots) + 1):
                reports[project, snapshots[end - 1].moment] = velocity.evaluate(
                    snapshots[:end], config
                )
                done(1)
    near = _table(
        "sprints forecast to within 25 % of the plan, in %",
        [
            "project",
            "at %",
            "sprints",
            "forecast",
            "planned",
            "done",
            "last ratio",
            "no plan",
            "idle",
        ],
    )
    ranges = _table(
        f"{config.coverage:.0%} intervals, against the project's own quantiles",
        ["project", "at %", "inside %", "width", "own inside %", "own width"],
    )
    for (project, moment), r in reports.items():
        shares = (r.near, r.near_planned, r.near_done, r.near_last_ratio)
        counts = (str(r.unplanned), str(r.unplanned_idle))
        near.add_row(project, str(moment), str(r.sprints), *map(_percent, shares), *counts)
        usual = (_percent(r.usual_coverage), f"{r.usual_width:.1f}")
        ranges.add_row(project, str(moment), _percent(r.coverage), f"{r.width:.1f}", *usual)
    held = timeline_report.summary(backlogs)
    console.print(near, ranges)
    _show_held(console, "backlogs of three sprints by past velocity", held)
    rows = [{"project": p, **dataclasses.asdict(report)} for (p, _), report in reports.items()]
    return {"reports": rows, "backlogs": dataclasses.asdict(held)}


def _eval_points(console: Console, folder: pathlib.Path) -> dict[str, Any]:
    from hrm_jax.planning.forecast import points, timeline_report
    from hrm_jax.planning.forecast.estimates import EstimateConfig

    config = EstimateConfig(coverage=_COVERAGE.value, seed=_SEED.value)
    files = points.project_files(folder)
    reports, with_history, without = [], [], []
    with counting_progress(console, "story points", len(files), "projects") as done:
        for project, path in files.items():
            report, past = points.evaluate(project, *points.read_points(path), config)
            reports.append(report)
            with_history += timeline_report.sums_held(past, _SEED.value)
            # The same forecasts without errors of the past, to see what these are worth.
            without += timeline_report.sums_held(past, _SEED.value, with_history=False)
            done(1)
    errors = _table(
        "mean absolute error of story points",
        ["project", "issues", "ours", "boosting", "linear", "mean", "median", "published"],
    )
    ranges = _table(
        f"{config.coverage:.0%} intervals, against the project's own quantiles",
        ["project", "inside %", "width", "own inside %", "own width"],
    )
    for r in reports:
        found = (r.ours, r.boosting, r.linear, r.mean, r.median, r.published)
        errors.add_row(r.project, str(r.issues), *(f"{value:.2f}" for value in found))
        usual = (_percent(r.usual_coverage), f"{r.usual_width:.1f}")
        ranges.add_row(r.project, _percent(r.coverage), f"{r.width:.1f}", *usual)
    over = ("ours", "boosting", "linear", "mean", "published")
    ratios = {name: float(np.mean([getattr(r, name) / r.median for r in reports])) for name in over}
    errors.add_section()
    # The median over itself is 1, and stands before the published figure.
    cells = [f"{ratios[name]:.2f}" for name in over]
    errors.add_row("over the median's", "", *cells[:4], "1.00", cells[4])
    console.print(errors, ranges)
    held, plain = timeline_report.summary(with_history), timeline_report.summary(without)
    _show_held(console, "sums of about 20 issues", held)
    _show_held(console, "the same without past errors", plain)
    rows = [dataclasses.asdict(report) for report in reports]
    sums = {"sums": dataclasses.asdict(held), "sums_without": dataclasses.asdict(plain)}
    return {"reports": rows, "over_median": ratios, **sums}


def _eval_delays(console: Console, folder: pathlib.Path) -> dict[str, Any]:
    from hrm_jax.planning.forecast import delays

    kinds: list[tuple[str, dict[str, Any]]] = [
        ("due", {"moment": "due"}),
        ("due, foreseeable", {"moment": "due", "foreseeable": True}),
        ("due, all columns", {"moment": "due", "strict": False}),
        ("creation, all columns", {"moment": "creation", "strict": False}),
    ]
    names = delays.projects(folder)
    reports = {}
    with counting_progress(console, "delays", len(kinds) * len(names), "forecasts") as done:
        for kind, how in kinds:
            for project in names:
                issues = delays.read_delays(folder, project, **how)
                reports[kind, project] = delays.evaluate(
                    issues, coverage=_COVERAGE.value, seed=_SEED.value
                )
                done(1)
    for kind, _ in kinds:
        shown = _table(
            f"late issues, forecast at: {kind} (in %, widths in days)",
            _DELAY_COLUMNS,
        )
        for project in names:
            r = reports[kind, project]
            shares = (r.late, r.always, r.logistic, r.boosting, r.precision, r.recall, r.area)
            cells = [_percent(share) for share in (*shares, r.coverage)]
            shown.add_row(project, str(r.issues), *cells, f"{r.width:.1f}")
        console.print(shown)
    rows = [{"at": k, "project": p, **dataclasses.asdict(r)} for (k, p), r in reports.items()]
    return {"reports": rows}


def _show_held(console: Console, title: str, held: Any) -> None:
    shares = ", ".join(
        f"P{p} held in {share:.0%}" for p, share in zip(_PERCENTILES, held.shares, strict=True)
    )
    console.print(f"{title}: {shares} of {held.forecasts}")


def _table(title: str, columns: Sequence[str]) -> Table:
    shown = Table(title=title)
    for place, name in enumerate(columns):
        # Headings break at blanks, so that all columns fit.
        shown.add_column(name.replace(" ", "\n"), justify="right" if place else "left")
    return shown


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


if __name__ == "__main__":
    command.run(main, extras="planning")
