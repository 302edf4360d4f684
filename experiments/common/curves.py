"""Curves of a run, or of several beside each other, as a picture."""

import dataclasses
import fnmatch
import itertools
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Panel:
    """One diagram.

    Attributes:
      title: what stands above it.
      names: the measures in it; in a name, `*` stands for anything.
      shares: the measures are shares, from 0 to 1.
    """

    title: str
    names: tuple[str, ...]
    shares: bool = False

    def measures(self, record: Mapping[str, Any]) -> list[str]:
        """Returns the measures of a record that belong in this diagram."""
        return [own for own in record if any(fnmatch.fnmatchcase(own, n) for n in self.names)]


def save_curves(
    records: Sequence[dict[str, Any]], path: pathlib.Path, panels: Sequence[Panel]
) -> None:
    """Draws measures over the steps, training and validation, as a PNG.

    Args:
      records: of `run_log.read_metrics`.
      path: where the picture goes.
      panels: the diagrams, from left to right.
    """
    # Imported here, as only training draws curves.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure and canvas of its own instead of pyplot: no display, no global state.
    figure = Figure(figsize=(3.7 * len(panels), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for split, style in (("train", {"alpha": 0.6}), ("validation", {"marker": "o"})):
            own = [record for record in records if record["split"] == split]
            # Each once, in the order of their first records, which legend and colours follow.
            names = dict.fromkeys(name for record in own for name in panel.measures(record))
            for name in names:
                points = [(record["step"], record[name]) for record in own if name in record]
                label = split if len(panel.names) == 1 else f"{name}, {split}"
                axes.plot(*zip(*points, strict=True), label=label, **style)
        axes.set(title=panel.title, xlabel="step")
        if panel.shares:
            axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(path, dpi=110)


def save_comparison(
    logs: Mapping[str, Sequence[Sequence[dict[str, Any]]]], path: pathlib.Path, measure: str
) -> None:
    """Draws a measure of held-out data, a share, against the time of training, as a PNG.

    Args:
      logs: by name, the records of each run of that name; those of one name share a colour. A run
        with less than two records of training has no known pace and is not drawn.
      path: where the picture goes.
      measure: what is drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (name, runs) in enumerate(logs.items()):
        # Runs of one name have one colour, so that seeds look alike and names differ.
        for seed, records in enumerate(runs):
            # Time is steps times the median pace: pauses of the run and its evaluations are left
            # out.
            pace = minutes_a_step(records)
            found = [record for record in records if record["split"] == "validation"]
            times = [record["step"] * pace for record in found]
            shares = [record[measure] for record in found]
            label = "_" if seed else name  # matplotlib leaves what starts so out of the legend
            axes.plot(times, shares, f"C{number}", marker="o", markersize=3, label=label)
    axes.set(xlabel="minutes of training", ylabel=measure.replace("_", " "))
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def minutes_a_step(records: Sequence[Mapping[str, Any]]) -> float:
    """Returns the median minutes of a step, which leaves pauses out; NaN below two records."""
    own = [record for record in records if record["split"] == "train"]
    paces = [
        (after["time_seconds"] - before["time_seconds"]) / (after["step"] - before["step"]) / 60
        for before, after in itertools.pairwise(own)
    ]
    return statistics.median(paces) if paces else float("nan")
