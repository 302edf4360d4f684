"""Trains a task in a folder, from a fresh state or from the folder's newest checkpoint.

    config.json, environment.json    what was run
    size.json                        how many parameters
    data.json                        what it learned from
    metrics.jsonl, events.*          what was measured
    telemetry.jsonl                  learning rate, gradient norm, speed, memory
    probes.jsonl                     answers to the same few questions, at every evaluation
    process.json                     the process that trains, or how it ended
    checkpoints/step_*               from where it can resume

With several processes, which share the folder, process 0 writes; checkpoints are written by all.
"""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import exclusive
from hrm_jax.core.mesh import batch_sharding, make_mesh, replicated, with_ambient_mesh
from hrm_jax.training import learned_data, loop, saving
from hrm_jax.training.checkpoint import CheckpointStore, check_writable
from hrm_jax.training.first_state import abstract_state, begin
from hrm_jax.training.interrupt import GracefulStop
from hrm_jax.training.observing import open_own_trackers, probing, telemetry_of
from hrm_jax.training.parts import check_parts
from hrm_jax.training.process_record import recorded_process
from hrm_jax.training.progress import Progress
from hrm_jax.training.run_files import PROBES, TELEMETRY
from hrm_jax.training.run_log import RunLog, trackers_of, write_run_info, write_size
from hrm_jax.training.side_records import SideRecords
from hrm_jax.training.state import TrainState, state_shardings
from hrm_jax.training.state_arrays import state_bytes
from hrm_jax.training.step import TrainStep, make_train_step
from hrm_jax.training.task import Task
from hrm_jax.training.telemetry import observed
from hrm_jax.training.trackers import check_trackers, chosen

CHECKPOINTS = "checkpoints"


class RunError(UserError):
    """A run cannot start, resume or be read; the message says why and what to do."""


def train(
    task: Task,
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
    accept_changed_data: bool = False,
    progress: Progress | None = None,
    trackers: Sequence[str] | None = None,
) -> TrainState:
    """Trains in `folder` until the last step or a signal, and saves the final state.

    Args:
      task: what to train.
      folder: the run's folder; without `resume` it must not hold a run yet.
      resume: whether to continue from the newest intact checkpoint in `folder`, if there is one.
      accept_changed_data: whether a resumed run may go on with other data than it learned from.
      progress: receives what happens; by default it goes to the log.
      trackers: names in `trackers.CHOICES`: where metrics are written as well. None: where a
        resumed run wrote them before, and nowhere else.

    Returns:
      The state after the last step that was taken.

    Raises:
      RunError: if the folder holds a run already and `resume` is False.
      TrackerError: if the package of a tracker is missing.
      DataChanged: if a resumed run would learn from other data than before.
      InUse: if another process trains in the folder.
      CheckpointError: if the folder cannot be written, or is too small for the checkpoints.
      Diverged: if a loss or a parameter is not finite.
      Ended: if an evaluation ended the run.
    """
    folder = pathlib.Path(folder)
    progress = progress or Progress()
    if (folder / "config.json").exists() and not resume:
        raise RunError(f"{folder} holds a run already; add --resume, or choose another --run")
    wanted = chosen(trackers) if trackers is not None else trackers_of(folder) if resume else []
    check_trackers(wanted)
    mesh = make_mesh(task.config.mesh)
    # One more than are kept: a new checkpoint is complete before an old one is removed.
    checkpoints = task.config.loop.keep_checkpoints + 1
    check_writable(folder, checkpoints * state_bytes(abstract_state(task)))
    # Locked before the checkpoints are looked at: that removes what another process is writing.
    with exclusive(folder, wanted=jax.process_index() == 0):
        compared = resume and not accept_changed_data
        return _train_alone(task, folder, mesh, resume, compared, progress, wanted)


def _train_alone(
    task: Task,
    folder: pathlib.Path,
    mesh: Mesh,
    resume: bool,
    compared: bool,
    progress: Progress,
    trackers: Sequence[str],
) -> TrainState:
    config = task.config
    with progress.preparing():
        data = _load_in_turn(task.load)
        fingerprint = task.fingerprint(data)

    def check(step: int) -> None:
        if fingerprint and compared:
            learned_data.check_unchanged(folder, step, fingerprint)

    state = begin(task, mesh)
    batches = task.training_batches(data, mesh)
    store = CheckpointStore(folder / CHECKPOINTS, config.loop.keep_checkpoints)
    # A resumed state is restored over a fresh one, whose shardings it takes on.
    resumed = saving.resume(store, state, batches, check) if resume else None
    state, extras = resumed or (state, None)
    first_step = int(state.step)
    resume_step = first_step if extras else -1
    step = compile_step(task, state_shardings(abstract_state(task), mesh), mesh)
    step = observed(step, config.optim.b1, config.loop.log_every, first_step)
    with (
        # Only now: a run that is refused is as it was.
        recorded_process(folder) as record,
        RunLog(
            folder, resume_step=resume_step, trackers=open_own_trackers(trackers, folder, config)
        ) as log,
        SideRecords(folder, TELEMETRY, resume_step=resume_step) as telemetry,
        SideRecords(folder, PROBES, resume_step=resume_step) as probes,
        GracefulStop() as stop,
        progress.training(first_step, config.loop.steps) as tell,
    ):
        write_run_info(folder, config, trackers)
        write_size(folder, state.variables)
        if fingerprint and jax.process_index() == 0:
            learned_data.record(folder, first_step, fingerprint)
        state = loop.run_steps(
            state,
            step,
            task.model_at,
            batches,
            config=config.loop,
            store=store,
            log=log,
            hooks=probing(task.hooks(data, batches, mesh), probes),
            progress=tell,
            stop=stop,
            extras=extras,
            watch=telemetry_of(config, telemetry),
        )
        # The loop returned before the last step without an error, so it was asked to stop.
        if int(state.step) < config.loop.steps:
            by = stop.signal_name or "another process"
            record.stopped(f"stopped by {by} after step {int(state.step)}")
    if record.message:
        progress.stopped(f"{record.message}, saved in {folder}; --resume --run={folder} goes on")
    return state


def compile_step(task: Task, shardings: TrainState, mesh: Mesh) -> TrainStep:
    """Returns the jitted train step, which is compiled once for each model it is called with.

    Only the model is static. Loss and optimisers are closed over: as static arguments, functions
    made again would not be equal, and would compile anew. The state is donated; every host gets the
    metrics.

    Raises:
      ConfigError: the batch's rows cannot be taken in `loop.batch_parts` equal parts.
    """
    parts = task.config.loop.batch_parts
    rows = jax.tree.leaves(task.abstract_batch())[0].shape[0]
    check_parts(rows, parts, mesh.shape["data"])
    return jax.jit(
        with_ambient_mesh(make_train_step(task.loss, task.optimizers, parts=parts), mesh),
        static_argnums=0,
        donate_argnums=1,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
    )


def _load_in_turn(load: Callable[[], Any]) -> Any:
    """Returns the loaded data; process 0 prepares them before the others look for them."""
    if jax.process_index() != 0:
        multihost_utils.sync_global_devices("data are prepared")
    data = load()
    if jax.process_index() == 0 and jax.process_count() > 1:
        multihost_utils.sync_global_devices("data are prepared")
    return data
