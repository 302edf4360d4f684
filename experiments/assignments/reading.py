"""Backlogs, teams and plans, from whatever file they are in."""

import datetime
import pathlib
from collections.abc import Sequence

import numpy as np
from absl import flags

from experiments.common.terminal import make_console, waiting
from hrm_jax.core.config import check
from hrm_jax.core.files import read_text
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.filling import Guess, fill_estimates
from hrm_jax.planning.formats.github import read_github
from hrm_jax.planning.formats.jira import read_jira
from hrm_jax.planning.formats.mspsp import read_dzn
from hrm_jax.planning.formats.plans import read_plan_csv, read_plan_json
from hrm_jax.planning.formats.proposals import accept
from hrm_jax.planning.formats.psplib import read_sm
from hrm_jax.planning.formats.rows import DESCRIPTION, Clock, Row, make_instance
from hrm_jax.planning.formats.table_files import read_csv, read_yaml
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.plan import Plan
from hrm_jax.planning.workdays import Workdays

Parts = tuple[list[Row], list[Row], Workdays | None]
_YAML = (".yaml", ".yml")
_LEAST_KNOWN = 40
"""Done tasks with an estimate from which on there is something to learn: `LEAST_ISSUES`."""


def read_instance(values: flags.FlagValues) -> Instance:
    """Returns the instance of --backlog and --team, with the tasks of --accept.

    Raises:
      UserError: a flag is missing or a file is not as documented.
    """
    backlog = _backlog(values)
    suffix = backlog.suffix.lower()
    if suffix in (".dzn", ".sm"):
        # These formats hold the people as well, so --team and --accept are not looked at.
        reader = read_dzn if suffix == ".dzn" else read_sm
        return reader(read_text(backlog), str(backlog))
    tasks, people, days = read_backlog(values)
    if values.accept:
        tasks = accept(tasks, read_text(pathlib.Path(values.accept)), values.accept)
    check(
        bool(people),
        "team",
        expected="a file of people",
        got=values.team,
        remedy="add --team=FILE; --template=FOLDER writes an example",
    )
    return make_instance(tasks, people, days, now=_now(values, days), name=backlog.name)


def read_backlog(values: flags.FlagValues) -> Parts:
    """Returns the tasks of --backlog with the people and the calendar of --team, or its own.

    Raises:
      UserError: a file is missing or not as documented.
    """
    backlog = _backlog(values)
    of_team, days = [], None
    if values.team:
        _, of_team, days = _read_team(pathlib.Path(values.team))
    # In place of any calendar: the flag is for teams in CSV, which has no room for one.
    if values.start:
        days = Workdays(start=values.start)
    tasks, people, days = _read_rows(backlog, days)
    return tasks, of_team if values.team else people, days


def _backlog(values: flags.FlagValues) -> pathlib.Path:
    check(
        values.backlog is not None,
        "backlog",
        expected="a file of tasks",
        got=None,
        remedy="add --backlog=FILE; --template=FOLDER writes an example",
    )
    return pathlib.Path(values.backlog)


def read_plan(path: pathlib.Path, instance: Instance) -> Plan:
    """Returns a plan of a JSON or CSV file."""
    text = read_text(path)
    if path.suffix.lower() == ".json":
        return read_plan_json(text, str(path))
    return read_plan_csv(text, str(path), instance)


def _now(values: flags.FlagValues, days: Workdays | None) -> int:
    if not values.now:
        return 0
    check(
        days is not None,
        "now",
        expected="a calendar, to read a date by",
        got=values.now,
        remedy="add --start=DATE",
    )
    assert days is not None
    try:
        return days.first_tick(datetime.date.fromisoformat(values.now))
    except ValueError:
        raise FormatError(f"now: expected a date as 2026-01-30, got {values.now!r}") from None


def _read_rows(path: pathlib.Path, days: Workdays | None) -> Parts:
    """Returns what a backlog holds; a calendar that is given goes before its own."""
    hours_per_day = Clock(days).hours_per_day
    text = read_text(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return read_github(text, str(path), guess, hours_per_day=hours_per_day), [], days
    if suffix in _YAML:
        tasks, people, own = read_yaml(text, str(path))
        days = days or own
        hours_per_day = Clock(days).hours_per_day
    # Jira exports CSV as well, so its column tells, and its file may have any name.
    elif "issue key" in text.partition("\n")[0].lower():
        return read_jira(text, str(path), guess, hours_per_day=hours_per_day), [], days
    elif suffix == ".csv":
        tasks, people = read_csv(text, str(path)), []
    else:
        raise FormatError(
            f"{path}: expected a name that ends with .csv, .yaml, .json, .dzn or .sm, got "
            f"{suffix or 'none'}; rename the file after what it holds"
        )
    # The readers of GitHub's and Jira's files have done this themselves.
    return fill_estimates(tasks, guess, hours_per_day=hours_per_day), people, days


def guess(
    known: Sequence[Row], days: Sequence[float], missing: Sequence[Row]
) -> list[Guess] | None:
    """Returns guesses learned from done tasks, and says how; an `Estimator`."""
    if len(known) < _LEAST_KNOWN:
        return None
    # scikit-learn takes seconds to import, and few backlogs need it.
    from hrm_jax.planning.forecast.guessing import guess_sizes
    from hrm_jax.planning.forecast.text_features import Issues
    from hrm_jax.planning.forecast.threads import single_threaded

    def issues(rows: Sequence[Row]) -> Issues:
        ids, titles, texts = (
            [row.fields.get(column, "") for row in rows] for column in ("id", "title", DESCRIPTION)
        )
        return Issues(ids, titles, texts)

    console = make_console(stderr=True, file=None, markup=False)
    with waiting(console, "learning estimates"), single_threaded():
        found = guess_sizes(issues(known), np.array(days), issues(missing))
    if found is None:
        return None
    what = "their texts" if found.by_text else "their median, as texts say no more"
    console.print(
        f"{len(missing)} missing estimates guessed from {len(known)} done tasks, by {what}: error "
        f"{found.error:.1f} days for past ones, {found.usual_error:.1f} by the median",
        highlight=False,
        soft_wrap=True,
    )
    return [Guess(*of) for of in zip(found.sizes, found.low, found.high, strict=True)]


def _read_team(path: pathlib.Path) -> Parts:
    text = read_text(path)
    if path.suffix.lower() in _YAML:
        return read_yaml(text, str(path))
    return [], read_csv(text, str(path)), None
