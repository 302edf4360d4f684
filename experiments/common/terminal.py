"""What every experiment shows on the terminal: how far it is."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hrm_jax.training.progress import Progress as RunProgress
from hrm_jax.training.progress import StepCallback


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the progress of a run says besides its steps.

    Attributes:
      unit: what a step is over, such as "puzzles".
      per_step: how many of them.
      averages: how each of a record's averages is written, by name.
    """

    unit: str
    per_step: int
    averages: Mapping[str, str]

    def text(self, averages: Mapping[str, float]) -> str:
        """Returns the averages that are there."""
        forms = self.averages.items()
        return ", ".join(form.format(averages[name]) for name, form in forms if name in averages)


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
        return self.console.status("preparing data")

    def training(self, first_step: int, steps: int) -> AbstractContextManager[StepCallback]:
        """Returns `training_progress`."""
        return training_progress(self.console, first_step, steps, self.shown)

    def stopped(self, message: str) -> None:
        """Prints how a stopped run goes on."""
        self.console.print(message, soft_wrap=True)


@contextmanager
def training_progress(
    console: Console, first_step: int, steps: int, shown: Shown
) -> Iterator[StepCallback]:
    """Yields a live bar: steps and units a second, averages, time left.

    Where there is no terminal each record is a line instead.

    Args:
      console: where to show it.
      first_step: steps done before.
      steps: steps of the whole run.
      shown: the unit, and which averages.

    Yields:
      A callback for the step and its record (empty between records).
    """
    columns = [
        TextColumn("training"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=steps, completed=first_step, status="compiling")
        status: dict[str, float] = {}

        def update(step: int, averages: Mapping[str, float]) -> None:
            status.update(averages)
            rate = progress.tasks[bar].finished_speed or progress.tasks[bar].speed or 0.0
            text = f"{rate:.2f} steps/s, {rate * shown.per_step:,.0f} {shown.unit}/s"
            text += f", {shown.text(status)}" if status else ""
            progress.update(bar, completed=step, status=text)
            if averages and not console.is_terminal:
                console.print(f"step {step}/{steps}: {shown.text(averages)}", soft_wrap=True)

        yield update


@contextmanager
def counting_progress(
    console: Console, name: str, total: int, unit: str = "puzzles"
) -> Iterator[Callable[[int], None]]:
    """Yields a live bar over a number of things; yields a callback for how many more are done."""
    columns = [
        TextColumn(name),
        BarColumn(bar_width=20),
        TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        bar = progress.add_task(name, total=total)
        yield lambda count: progress.update(bar, advance=count)
