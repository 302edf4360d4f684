"""What was learned of a user's own history, kept in a folder, and the user's files.

Two files of CSV, one issue a row, with a heading:

* a history: `key`, `title`, `size` (points, hours or days: whatever is to be estimated, above 0)
  and, if there are any, `description`, `type`, `priority`, `component`, `estimate` (what was said
  before, in the unit of sizes), and `finished`, a date such as 2015-03-31, by which rows are put in
  order. Without `finished`, rows are in order of time.
* tasks to be estimated: `key`, `title`, and the others if there are any, but no size; for a
  timeline also `after` (keys of tasks that must end before, with blanks between), `people` (names
  of those who may do it, likewise) and `due` (in the unit of sizes, from now).

A learned folder holds the history as it was read and `estimates.json`: settings, the history's hash
and what past estimates were like. There is nothing in it that could run: a model is learned anew
from the history when it is used, which takes seconds and gives the same numbers.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from hrm_jax.core import config as config_lib
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import read_json_object, write_atomically
from hrm_jax.planning.forecast import estimates
from hrm_jax.planning.forecast.estimates import EstimateConfig, PastEstimates, SizeModel
from hrm_jax.planning.forecast.tables import Table, read_table
from hrm_jax.planning.forecast.text_features import Issues
from hrm_jax.planning.forecast.timeline import ListSchedule

FIELDS = ("type", "priority", "component")
_HISTORY = "history.csv"
_ABOUT = "estimates.json"
_FORMAT = 1


class LearnedFolderError(UserError, ValueError):
    """A folder holds nothing that was learned, or was changed since."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """What a history says.

    Attributes:
      model: makes distributions of the sizes of new issues.
      past: estimates of the later 40 % of the history, each from what was before.
      config: how it was learned.
    """

    model: SizeModel
    past: PastEstimates
    config: EstimateConfig

    @property
    def error(self) -> float:
        """Mean absolute error of past estimates."""
        return float(np.mean(np.abs(self.past.point - self.past.actual)))

    @property
    def usual_error(self) -> float:
        """That of saying the median of the issues before instead."""
        first = self.past.first
        sizes = self.model.outcomes
        # Each from what was before, as the estimates that it is compared with.
        medians = [np.median(sizes[:row]) for row in range(first, len(sizes))]
        return float(np.mean(np.abs(medians - self.past.actual)))

    @property
    def coverage(self) -> float:
        """Share of past sizes inside of the intervals that were made before."""
        # The first ones have no interval: there were too few outcomes to set a level by.
        made = np.isfinite(self.past.intervals.low)
        return float(self.past.intervals.inside[made].mean())


@dataclasses.dataclass(frozen=True)
class Past:
    """Past issues in time order.

    Attributes:
      issues: what they say.
      sizes: float64 [issues], what came, above 0.
      estimates: float64 [issues], what was estimated before; None where nobody says.
      finished: datetime64 [issues], days; None likewise.
    """

    issues: Issues
    sizes: np.ndarray
    estimates: np.ndarray | None
    finished: np.ndarray | None

    @property
    def errors(self) -> np.ndarray | None:
        """Returns what came over what was estimated, in time order, or None."""
        return None if self.estimates is None else self.sizes / self.estimates

    @property
    def weekly(self) -> np.ndarray | None:
        """Returns the sizes finished in each week from the first to the last, or None."""
        if self.finished is None:
            return None
        # Days count from a Thursday: three more begin weeks on Mondays.
        weeks = (self.finished.astype(np.int64) + 3) // 7
        return np.bincount(weeks - weeks[0], self.sizes)


def read_past(path: Path) -> Past:
    """Returns past issues in time order.

    Raises:
      TableError, TextError, OSError: as `read_table`; also for sizes and dates that are none.
    """
    table = read_table(path, ("key", "title", "size"))
    issues, sizes = _issues(table), _positive(table, "size")
    estimated = _positive(table, "estimate") if "estimate" in table.columns else None
    if "finished" not in table.columns:
        return Past(issues, sizes, estimated, None)
    days = np.array([_day(table, row, text) for row, text in enumerate(table.texts("finished"))])
    # Stable: issues of one day stay in the order of the file.
    order = np.argsort(days, kind="stable")
    estimated = None if estimated is None else estimated[order]
    return Past(issues.take(order), sizes[order], estimated, days[order])


def read_history(path: Path) -> tuple[Issues, np.ndarray]:
    """Returns past issues in time order and their sizes; raises as `read_past`."""
    past = read_past(path)
    return past.issues, past.sizes


def read_tasks(path: Path) -> tuple[Table, Issues]:
    """Returns a table of tasks, and them as issues; raises as `read_table`."""
    table = read_table(path, ("key", "title"))
    return table, _issues(table)


def learn(issues: Issues, sizes: np.ndarray, config: EstimateConfig) -> Learned:
    """Returns what a history in time order says.

    Raises:
      TooFewIssuesError: it is too short.
    """
    past = estimates.estimate_past(issues, sizes, config)
    return Learned(estimates.fit(issues, sizes, config), past, config)


def save(folder: Path, history: Path, learned: Learned) -> None:
    """Writes a learned folder: the history and what is known of its estimates."""
    folder.mkdir(parents=True, exist_ok=True)
    # The bytes as they are, so that the hash holds for the copy, whatever the encoding.
    content = history.read_bytes()
    about = {
        "format": _FORMAT,
        "config": config_lib.to_dict(learned.config),
        "history_sha256": hashlib.sha256(content).hexdigest(),
        "issues": len(learned.model.outcomes),
        "error": learned.error,
        "median_error": learned.usual_error,
        "coverage": learned.coverage,
    }
    write_atomically(folder / _HISTORY, content)
    # Last: where saving breaks off in between, the old hash refuses the new history.
    write_atomically(folder / _ABOUT, json.dumps(about, indent=1) + "\n")


def load(folder: Path) -> Learned:
    """Returns what a folder that `save` wrote holds, learned anew.

    Raises:
      LearnedFolderError: it is none, or its history was changed.
      TableError, TextError, OSError: as `read_history`.
    """
    try:
        about = read_json_object(folder / _ABOUT)
        expected, config = about["history_sha256"], about["config"]
        content = (folder / _HISTORY).read_bytes()
    # Any of these means that it is not a folder of ours; other errors of reading stay what they
    # are.
    except (FileNotFoundError, NotADirectoryError, KeyError) as error:
        raise LearnedFolderError(
            f"{folder}: expected {_ABOUT} and {_HISTORY} of --mode=fit, got {error}; "
            "name the folder that it wrote"
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise LearnedFolderError(
            f"{folder / _HISTORY}: expected the history that --mode=fit read, got another; "
            "fit again with the history as it is now"
        )
    # Learned anew: the folder holds data and settings, and no code or pickled model.
    issues, sizes = read_history(folder / _HISTORY)
    return learn(issues, sizes, config_lib.from_dict(EstimateConfig, config))


def schedule_of(table: Table, people: list[str]) -> ListSchedule:
    """Returns the schedule of tasks by the columns `after` and `people`.

    Tasks are taken in the order of the file, those that must end before others first.

    Args:
      table: the tasks.
      people: names of all; where a task names none, all may do it.

    Raises:
      TableError: a task waits for an unknown one or for itself, or names an unknown person.
    """
    keys = table.texts("key")
    rows = {key: row for row, key in enumerate(keys)}
    after = [text.split() for text in table.optional("after")]
    named = [text.split() for text in table.optional("people")]
    for row, (waits, able) in enumerate(zip(after, named, strict=True)):
        for key in waits:
            # A file in the order of work has no cycles, and its reader sees what comes first.
            if rows.get(key, row) >= row:
                raise table.error(row, "after", "keys of tasks in rows above", key)
        for name in able:
            if name not in people:
                raise table.error(row, "people", f"some of {', '.join(people)}", name)
    return ListSchedule(
        [[rows[key] for key in waits] for waits in after],
        [[people.index(name) for name in able or people] for able in named],
        np.zeros(len(people)),
    )


def due_times(table: Table) -> dict[int, float]:
    """Returns the due time of each row that has one.

    Raises:
      TableError: one is no number.
    """
    found = {}
    # A task without a due date has no entry, so that nothing is said of it.
    for row, text in enumerate(table.optional("due")):
        if text.strip():
            try:
                found[row] = float(text)
            except ValueError:
                raise table.error(row, "due", "a number in the unit of sizes", text) from None
    return found


def _issues(table: Table) -> Issues:
    keys = table.texts("key")
    seen: set[str] = set()
    for row, key in enumerate(keys):
        if not key.strip() or key in seen:
            raise table.error(row, "key", "a key of its own", key)
        seen.add(key)
    fields = {name: table.texts(name) for name in FIELDS if name in table.columns}
    return Issues(keys, table.texts("title"), table.optional("description"), fields)


def _positive(table: Table, column: str) -> np.ndarray:
    numbers = table.numbers(column)
    for row in map(int, np.flatnonzero(numbers <= 0)):
        raise table.error(row, column, "a number above 0", table.texts(column)[row])
    return numbers


def _day(table: Table, row: int, text: str) -> np.datetime64:
    try:
        day = np.datetime64(text.strip()[:10], "D")
    except ValueError:
        day = np.datetime64("NaT", "D")
    if np.isnat(day):
        raise table.error(row, "finished", "a date such as 2015-03-31", text) from None
    return day
