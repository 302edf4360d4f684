"""Writes metrics to trackers as well, beside the run's own log and TensorBoard's event files.

    wandb      Weights & Biases, offline: `wandb/offline-run-*` beside the run's folder, which
               `wandb sync` uploads
    trackio    its database on this machine, which `trackio show` reads

Neither is needed, and nothing is sent anywhere.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hrm_jax.core.errors import UserError

TRACKERS = ("wandb", "trackio")
NOWHERE = "none"
CHOICES = (*TRACKERS, NOWHERE)
"""Values of `--log_to`."""
HELP = (
    "write metrics there as well: wandb is kept offline, beside the run's folder; trackio has a "
    "database on this machine. May be given again. A resumed run goes on as before; none ends that"
)
PROJECT = "hrm_jax"
_STEP = "training_step"


class TrackerError(UserError):
    """A tracker's package is missing."""


class Tracker(Protocol):
    """What metrics are written to."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the metrics of a step, such as `train/loss`."""
        ...

    def close(self) -> None:
        """Ends the run there."""
        ...


def chosen(names: Sequence[str]) -> list[str]:
    """Returns the trackers that the values of `--log_to` name; none once they name `NOWHERE`."""
    return [] if NOWHERE in names else list(dict.fromkeys(names))


def check_trackers(names: Sequence[str]) -> None:
    """Raises TrackerError where the package of a tracker is not there; before a run begins."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise TrackerError(
                f"--log_to={name}: expected its package, got {error}; pip install {name}, or go on "
                f"with --log_to={NOWHERE}"
            ) from error


def open_trackers(names: Sequence[str], folder: Path, config: Mapping[str, Any]) -> list[Tracker]:
    """Returns open trackers.

    Args:
      names: of them, in `TRACKERS`, each once.
      folder: of the run; its name is the run's name there.
      config: what the run is shown with.
    """
    opened = {"wandb": WandbTracker, "trackio": TrackioTracker}
    return [opened[name](folder, config) for name in names]


class WandbTracker:
    """A run of Weights & Biases that stays on this machine."""

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its own telemetry
        wandb: Any = importlib.import_module("wandb")
        self._run = wandb.init(
            mode="offline",
            project=PROJECT,
            name=folder.absolute().name,
            dir=str(folder.absolute().parent),  # it makes links, which no run's folder has
            config=dict(config),
            settings=wandb.Settings(console="off", silent=True, save_code=False),
        )
        # Its own steps only rise, and would drop what a resumed run writes again.
        self._run.define_metric("*", step_metric=_STEP)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the metrics of a step."""
        self._run.log({_STEP: step, **values})

    def close(self) -> None:
        """Ends the run there."""
        self._run.finish()


class TrackioTracker:
    """A run of Trackio in its database on this machine."""

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        trackio: Any = importlib.import_module("trackio")
        self._trackio = trackio
        name = folder.absolute().name
        trackio.init(project=PROJECT, name=name, config=dict(config), resume="allow", embed=False)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the metrics of a step."""
        self._trackio.log(dict(values), step=step)

    def close(self) -> None:
        """Ends the run there."""
        self._trackio.finish()
