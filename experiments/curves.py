"""Curves of a run as a picture."""

import pathlib
from collections.abc import Sequence
from typing import Any


def save_curves(records: Sequence[dict[str, Any]], path: pathlib.Path) -> None:
    """Draws loss and accuracies over the steps, training and validation, as a PNG.

    Args:
      records: of `run_log.read_metrics`.
      path: where the picture goes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [("loss", "loss"), ("cell_accuracy", "cells right"), ("exact_accuracy", "solved")]
    for axes, (name, title) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for split, style in (("train", {"alpha": 0.6}), ("validation", {"marker": "o"})):
            points = [(r["step"], r[name]) for r in records if r["split"] == split and name in r]
            if points:
                axes.plot(*zip(*points, strict=True), label=split, **style)
        axes.set(title=title, xlabel="step")
        if name != "loss":
            axes.set_ylim(0, 1)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(path, dpi=110)
