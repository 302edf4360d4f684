"""What a run records beside its metrics: probes, telemetry, and what trackers are told."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping, Sequence

import jax

from hrm_jax.core.config import to_json
from hrm_jax.training.loop import Hooks
from hrm_jax.training.optimizers import make_schedule
from hrm_jax.training.run_config import RunConfig
from hrm_jax.training.side_records import SideRecords
from hrm_jax.training.state import TrainState
from hrm_jax.training.telemetry import Telemetry
from hrm_jax.training.trackers import Tracker, open_trackers


def open_own_trackers(
    names: Sequence[str], folder: pathlib.Path, config: RunConfig
) -> list[Tracker]:
    """Opens the trackers that this process writes to: process 0 all of them, the others none."""
    if jax.process_index() != 0:
        return []
    return open_trackers(names, folder, json.loads(to_json(config)))


def probing(hooks: Hooks, records: SideRecords) -> Hooks:
    """Returns hooks whose evaluations write what is probed of the state as well."""
    evaluate = hooks.evaluate
    probe = hooks.probe
    if evaluate is None or probe is None:
        return hooks

    def evaluate_and_probe(state: TrainState) -> Mapping[str, float]:
        measures = evaluate(state)
        records.write(int(state.step), {"time_seconds": time.time(), **probe(state)})
        return measures

    return dataclasses.replace(hooks, evaluate=evaluate_and_probe)


def telemetry_of(config: RunConfig, records: SideRecords) -> Telemetry:
    """Returns what writes the reports of an observed step, with the learning rate."""
    rate = make_schedule(config.optim, config.optim.learning_rate, config.loop.steps)
    return Telemetry(records, rate)
