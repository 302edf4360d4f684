"""A training run in a folder: made, resumed, read again.

    config.json, environment.json    what was run
    metrics.jsonl, events.*          what was measured
    checkpoints/step_*               where it can go on
    curves.png, report.json          what came out

Of several processes, which share the folder, only process 0 writes (checkpoints: all of them).
"""

import pathlib
from collections.abc import Callable, Mapping

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from rich.console import Console

from experiments import exported, terminal
from hrm_jax.core import config as config_lib
from hrm_jax.core.types import Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.tasks.sudoku import DataConfig, SudokuConfig, SudokuTask
from hrm_jax.training import loop
from hrm_jax.training.checkpoint import (
    CheckpointReader,
    CheckpointStore,
    check_writable,
)
from hrm_jax.training.interrupt import GracefulStop
from hrm_jax.training.mesh import batch_sharding, make_mesh, over_mesh, replicated, state_shardings
from hrm_jax.training.run_log import RunLog, write_run_info
from hrm_jax.training.state import TrainState, init_state
from hrm_jax.training.state_arrays import state_bytes
from hrm_jax.training.step import TrainStep, make_train_step

CHECKPOINTS = "checkpoints"


class RunError(Exception):
    """A run cannot start, go on or be read; the message says why and what to do."""


def newest_run(root: pathlib.Path) -> pathlib.Path:
    """The folder below `root` whose checkpoints changed last.

    Raises:
      RunError: if there is no run.
    """
    folders = [path.parent for path in root.glob(f"*/{CHECKPOINTS}")]
    if not folders:
        raise RunError(
            f"expected a run below {root}, found none; train one first, or name a folder"
        )
    return max(folders, key=lambda folder: (folder / CHECKPOINTS).stat().st_mtime)


def read_config(folder: pathlib.Path) -> SudokuConfig:
    """The configuration a run was started with.

    Raises:
      RunError: if the folder holds no run.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(f"expected a run in {folder}, found no config.json; name a run's folder")
    return config_lib.from_json(SudokuConfig, path.read_text(encoding="utf-8"))


def load(checkpoint: pathlib.Path, mesh: Mesh) -> tuple[SudokuTask, Variables, int | None]:
    """A trained model: the task, the variables to evaluate with, and the step they are from.

    Args:
      checkpoint: a run's folder, for its newest intact checkpoint; one checkpoint's folder; or
        that of an exported model, which does not know its step.
      mesh: the devices that each get all variables.

    Raises:
      RunError: if there is no checkpoint.
      CheckpointError: if the named one is damaged.
      WeightsError: if it is exported, and damaged.
    """
    if exported.is_exported(checkpoint):
        task, variables = exported.load(checkpoint)
        return task, jax.device_put(variables, replicated(mesh)), None
    one = checkpoint.name.startswith("step_")
    run = checkpoint.absolute().parent.parent if one else checkpoint
    task = SudokuTask(read_config(run))
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)),
        _abstract_state(task),
    )
    reader = CheckpointReader(run / CHECKPOINTS)
    restored = reader.restore(checkpoint, target) if one else reader.latest(target)
    if restored is None:
        raise RunError(f"expected a checkpoint in {run / CHECKPOINTS}, found none that is intact")
    return task, restored.state.averaged_variables, restored.step


def _abstract_state(task: SudokuTask) -> TrainState:
    """Shapes and dtypes of the state."""
    return jax.eval_shape(_initialiser(task), jax.random.key(task.config.seed))


def _initialiser(task: SudokuTask) -> Callable[[jax.Array], TrainState]:
    """The state from a key."""
    return lambda key: init_state(
        task.model,
        task.optimizers,
        key,
        jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), task.abstract_batch()),
    )


def train(task: SudokuTask, folder: pathlib.Path, console: Console, *, resume: bool) -> TrainState:
    """Trains in `folder` until the last step or a signal, and leaves everything saved.

    Args:
      task: what to train.
      folder: the run's; new, unless `resume`.
      console: where progress is shown.
      resume: go on from the newest intact checkpoint in `folder`, if there is one.

    Returns:
      The state after the last step done.

    Raises:
      RunError: if the folder holds a run already and `resume` is False.
      CheckpointError: if the folder cannot be written or hold the checkpoints.
      Diverged: if the loss is not finite.
    """
    if (folder / "config.json").exists() and not resume:
        raise RunError(f"{folder} holds a run already; add --resume, or choose another --run")
    config, mesh = task.config, make_mesh(task.config.mesh)
    abstract = _abstract_state(task)
    check_writable(folder, (config.loop.keep_checkpoints + 1) * state_bytes(abstract))
    with console.status("preparing data"):
        source, held_out = _load_in_turn(config.data)
    shardings = state_shardings(abstract, mesh)
    state = jax.jit(_initialiser(task), out_shardings=shardings)(jax.random.key(config.seed))
    batches = task.training_batches(source, mesh)
    store = CheckpointStore(folder / CHECKPOINTS, config.loop.keep_checkpoints)
    state, extras = (loop.resume(store, state, batches) if resume else None) or (state, None)
    first_step, steps = int(state.step), config.loop.steps
    write_run_info(folder, config)
    with (
        RunLog(folder, resume_step=first_step if extras else -1) as log,
        GracefulStop() as stop,
        terminal.training_progress(console, first_step, steps, config.batch_size) as progress,
    ):
        state = loop.train(
            state,
            _compiled_step(task, shardings, mesh),
            batches,
            config=config.loop,
            store=store,
            log=log,
            hooks=loop.Hooks(task.average, _validation(task, held_out, mesh), progress),
            stop=stop,
            extras=extras,
        )
    if int(state.step) < steps:
        console.print(
            f"stopped by {stop.signal_name or 'another process'} after step {int(state.step)}, "
            f"saved in {folder}; --resume --run={folder} goes on",
            soft_wrap=True,
        )
    return state


def _load_in_turn(data: DataConfig) -> tuple[Source, Source]:
    """Training and validation puzzles; process 0 has prepared them when the others look."""
    if jax.process_index() != 0:
        multihost_utils.sync_global_devices("data are prepared")
    sources = data.load("train"), data.load("validation")
    if jax.process_index() == 0 and jax.process_count() > 1:
        multihost_utils.sync_global_devices("data are prepared")
    return sources


def _compiled_step(task: SudokuTask, shardings: TrainState, mesh: Mesh) -> TrainStep:
    """The training step under `jit`: the state donated, the metrics on every host."""
    return jax.jit(
        over_mesh(make_train_step(task.model, task.loss, task.optimizers), mesh),
        donate_argnums=0,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
    )


_LOGGED = ("count", "cell_accuracy", "exact_accuracy", "mean_steps")


def _validation(
    task: SudokuTask, held_out: Source, mesh: Mesh
) -> Callable[[TrainState], Mapping[str, float]]:
    """What the log says about held-out puzzles."""

    def evaluate(state: TrainState) -> Mapping[str, float]:
        settings = task.config.validation
        report = task.evaluate(state.averaged_variables, held_out, settings, mesh).as_dict()
        return {name: report[name] for name in _LOGGED}

    return evaluate
