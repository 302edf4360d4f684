"""What every experiment shows on the terminal: progress and tables that fit its width.

A line of progress has its parts in order of importance, and leaves out the last ones where they do
not fit; a table likewise its last columns. Where there is no terminal, a record is a line.
"""

import copy
import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rich import table
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from hrm_jax.training.progress import Progress as RunProgress
from hrm_jax.training.progress import StepCallback

FILE_COLUMNS = 160
"""Width of tables where there is no terminal: a log file has no edge, but people read it."""

SILENCE_SECONDS = 60.0
"""Time after which a line of progress is printed where there is no terminal."""

# Below 100 columns the figures need all the room.
_BARS = {100: 20, 140: 40}
"""Width of a terminal, in columns, from which on there is a bar of so many."""


def make_console(**options) -> Console:
    """Returns the console of an experiment; see `rich.console.Console` for the options."""
    # Bound now, because what hides a library's chatter replaces sys.stdout for a while.
    settings: dict[str, Any] = {"file": sys.stdout} | options
    console = Console(**settings)
    if not console.is_terminal and "width" not in options:
        console.width = FILE_COLUMNS
    return console


class Table(table.Table):
    """A table that fits: headings are stacked first, then the last columns are left out."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders as many columns as there is room for, at least two."""
        shown = self
        if _width(self, console) > options.max_width:
            shown = copy.copy(self)
            # On a copy: a table that is printed again may find more room.
            shown.columns = [_stacked(column) for column in self.columns]
        needed = _width(shown, console)
        while _width(shown, console) > options.max_width and len(shown.columns) > 2:
            shown.columns = shown.columns[:-1]
        left_out = len(self.columns) - len(shown.columns)
        if left_out:
            shown.caption = f"{left_out} more columns from a width of {needed} on"
        yield from table.Table.__rich_console__(shown, console, options)


def _width(shown: table.Table, console: Console) -> int:
    # The width that the table would like to have, which the console's own would cut.
    unlimited = console.options.update(width=10_000)
    return Measurement.get(console, unlimited, shown).maximum


def _stacked(column: table.Column) -> table.Column:
    """Returns the column with a heading of one word a line."""
    heading = str(column.header).replace(" ", "\n")
    return dataclasses.replace(column, header=heading)


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the progress of a run says besides its steps.

    Attributes:
      unit: what a step is over, such as "puzzles".
      per_step: how many of them.
      averages: how each of a record's averages is written, by name. What matters most comes first:
        two of them stand before the speed.
    """

    unit: str
    per_step: int
    averages: Mapping[str, str]

    def parts(self, averages: Mapping[str, float]) -> list[str]:
        """Returns the averages that are there, as text."""
        forms = self.averages.items()
        return [form.format(averages[name]) for name, form in forms if name in averages]


@dataclasses.dataclass(frozen=True)
class TrainingProgress(RunProgress):
    """Shows on a console what a run tells.

    Attributes:
      console: where to show it.
      shown: the unit, and which averages.
    """

    console: Console
    shown: Shown

    def preparing(self) -> AbstractContextManager[object]:
        """Returns a context that says that data are being prepared."""
        return waiting(self.console, "preparing data")

    def training(self, first_step: int, steps: int) -> AbstractContextManager[StepCallback]:
        """Returns `training_progress`."""
        return training_progress(self.console, first_step, steps, self.shown)

    def stopped(self, message: str) -> None:
        """Prints how a stopped run goes on."""
        self.console.print(message, soft_wrap=True)


def waiting(console: Console, text: str) -> AbstractContextManager[object]:
    """Returns a context that shows a text, and for how long, where there is a terminal."""
    columns = (SpinnerColumn(), TextColumn(text), TimeElapsedColumn())
    progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    progress.add_task(text, total=None)
    return progress


@contextmanager
def training_progress(
    console: Console, first_step: int, steps: int, shown: Shown
) -> Iterator[StepCallback]:
    """Shows steps, share and time left, averages, steps and units a second, as far as they fit.

    Args:
      console: where to show it.
      first_step: steps done before.
      steps: steps of the whole run.
      shown: the unit, and which averages.

    Yields:
      A callback for the step and its record (empty between records).
    """
    with live_line(console, "train", steps, completed=first_step, waits_for="compiling") as line:
        newest: dict[str, float] = {}

        def update(step: int, averages: Mapping[str, float]) -> None:
            # Between records a step comes without averages: the last ones stay on the line.
            newest.update(averages)
            rate = line.speed or 0.0
            speeds = [f"{rate:.2f} steps/s", f"{rate * shown.per_step:,.0f} {shown.unit}/s"]
            values = shown.parts(newest)
            # Two averages come before the speed, and the units a second come last, as they go first
            # where there is no room.
            parts = [*values[:2], speeds[0], *values[2:], speeds[1]]
            line.update(step, parts, record=f"step {step}/{steps}: " if averages else "")

        yield update


@contextmanager
def counting_progress(
    console: Console, name: str, total: int, unit: str = "puzzles", waits_for: str = ""
) -> Iterator[Callable[[int], None]]:
    """Shows how many of a number of things are done; the arguments are `live_line`'s.

    Yields:
      A callback for how many more are done.
    """
    with live_line(console, name, total, unit=unit, transient=True, waits_for=waits_for) as line:
        yield lambda count: line.update(line.completed + count)


@contextmanager
def live_line(
    console: Console,
    name: str,
    total: int,
    *,
    unit: str = "",
    completed: int = 0,
    transient: bool = False,
    waits_for: str = "",
) -> Iterator["Line"]:
    """Shows one line of progress while the context lasts.

    Where there is no terminal it is printed when nothing else was for a minute.

    Args:
      console: where to show it.
      name: what is done, such as "train".
      total: how many things there are to do.
      unit: what they are called; nothing if it is clear.
      completed: how many are done before.
      transient: whether the line goes away at the end.
      waits_for: what happens before the first thing is done, such as "compiling".

    Yields:
      The line, to be updated.
    """
    with _FittedProgress(
        console=console, disable=not console.is_terminal, transient=transient
    ) as bar:
        fields = {"unit": unit, "parts": (waits_for,) if waits_for else ()}
        task = bar.add_task(name, total=total, completed=completed, said=time.monotonic(), **fields)
        line = Line(console, bar, task)
        with nullcontext() if console.is_terminal else _said_each_minute(line):
            yield line


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of progress; made by `live_line`."""

    _console: Console
    _progress: Progress
    _id: TaskID

    @property
    def completed(self) -> int:
        """Things done."""
        return int(self._task.completed)

    @property
    def speed(self) -> float | None:
        """Things done a second, of late; None before it is known."""
        return self._task.finished_speed or self._task.speed

    def update(
        self,
        completed: int,
        parts: Sequence[str] = (),
        *,
        total: int | None = None,
        record: str = "",
    ) -> None:
        """Shows that so many are done.

        Args:
          completed: things done in all.
          parts: what else to show, most important first.
          total: how many things there are to do by now; None for as many as before.
          record: how this begins as a line of its own, where there is no terminal; empty for none.
        """
        self._progress.update(self._id, completed=completed, total=total, parts=tuple(parts))
        # The record's beginning names the step, so the count, the first part, is left out.
        if record and not self._console.is_terminal:
            self._say(record + ", ".join(_parts(self._task)[1:]))

    @property
    def silent_seconds(self) -> float:
        """Seconds since a line was printed."""
        return time.monotonic() - self._task.fields["said"]

    def say(self) -> None:
        """Prints what a terminal would show, as a line of its own."""
        self._say(", ".join(_parts(self._task)))

    def _say(self, text: str) -> None:
        self._progress.update(self._id, said=time.monotonic())
        self._console.print(text, soft_wrap=True, highlight=False)

    @property
    def _task(self) -> Task:
        return next(task for task in self._progress.tasks if task.id == self._id)


@contextmanager
def _said_each_minute(line: Line) -> Iterator[None]:
    """Prints a line of progress whenever nothing was printed for a while, from a thread."""
    over = threading.Event()

    def watch() -> None:
        # It wakes when the silence would be long enough, and looks again: something may have been
        # said while it slept.
        while not over.wait(max(SILENCE_SECONDS - line.silent_seconds, 0)):
            if line.silent_seconds >= SILENCE_SECONDS:
                line.say()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _FittedProgress(Progress):
    """Each task is one line, whose parts are those that fit."""

    def get_renderables(self) -> Iterator["_FittedLine"]:
        for task in self.tasks:
            yield _FittedLine(_parts(task), task.percentage / 100)


@dataclasses.dataclass(frozen=True)
class _FittedLine:
    parts: Sequence[str]
    share: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        full, empty = ("#", "-") if options.ascii_only else ("━", "─")
        # The last column stays free: some terminals break a line that fills them.
        yield fit_line(self.parts, options.max_width - 1, self.share, full, empty)


def fit_line(
    parts: Sequence[str], width: int, share: float, full: str = "━", empty: str = "─"
) -> Text:
    """Returns the first part and as many more as fit, with a bar where there is much room.

    Args:
      parts: most important first; the bar stands after the first.
      width: in columns.
      share: of the bar that is full, 0 to 1.
      full: a column of the bar that is full.
      empty: one that is not.
    """
    # `_BARS` speaks of the terminal's width, which is a column more.
    bar = max((size for least, size in _BARS.items() if width + 1 >= least), default=0)
    filled = round(bar * share)
    text = Text(parts[0], no_wrap=True, overflow="crop", end="")
    if bar:
        text.append("  ").append(full * filled, "green").append(empty * (bar - filled), "dim")
    for part in parts[1:]:
        if text.cell_len + 2 + len(part) > width:
            break
        text.append(f"  {part}")
    return text


def _parts(task: Task) -> list[str]:
    total = int(task.total or 0)
    count = f"{task.description} {int(task.completed)}/{total} {task.fields['unit']}".rstrip()
    # None, too, until rich has seen a speed.
    left = None if task.finished else task.time_remaining
    times = [] if left is None else [f"left {_clock(left)}"]
    elapsed = _clock(task.elapsed or 0)
    spent = f"took {elapsed}" if task.finished else f"{elapsed} so far"
    return [count, f"{task.percentage:.0f}%", *times, *task.fields["parts"], spent]


def _clock(seconds: float) -> str:
    """Returns hours, minutes and seconds, without hours where there are none."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
