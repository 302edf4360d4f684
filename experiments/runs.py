"""A training run in a folder: made, resumed, read again.

    config.json, environment.json    what was run
    metrics.jsonl, events.*          what was measured
    checkpoints/step_*               where it can go on
    curves.png, report.json          what came out

Of several processes, which share the folder, only process 0 writes (checkpoints: all of them).
"""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from rich.console import Console

from experiments import terminal
from hrm_jax.core import config as config_lib
from hrm_jax.core.protocols import RecurrentModel, StepLoss
from hrm_jax.core.types import Variables
from hrm_jax.training import loop
from hrm_jax.training.checkpoint import (
    CheckpointReader,
    CheckpointStore,
    check_writable,
)
from hrm_jax.training.files import exclusive
from hrm_jax.training.interrupt import GracefulStop
from hrm_jax.training.mesh import (
    MeshConfig,
    batch_sharding,
    make_mesh,
    replicated,
    state_shardings,
    with_ambient_mesh,
)
from hrm_jax.training.run_log import RunLog, write_run_info
from hrm_jax.training.state import Optimizers, TrainState, init_state, state_from_variables
from hrm_jax.training.state_arrays import state_bytes
from hrm_jax.training.step import TrainStep, make_train_step

Config = TypeVar("Config")
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


class RunConfig(Protocol):
    """What every run's configuration says."""

    @property
    def loop(self) -> loop.LoopConfig:
        """How long, and what happens how often."""
        ...

    @property
    def mesh(self) -> MeshConfig:
        """How devices share the work."""
        ...

    @property
    def seed(self) -> int:
        """Of everything random."""
        ...


class Task(Protocol):
    """What a run trains."""

    @property
    def config(self) -> RunConfig:
        """All of it, to be saved with the run."""
        ...

    @property
    def loss(self) -> StepLoss:
        """The loss of a step."""
        ...

    @property
    def optimizers(self) -> Optimizers:
        """Both optimisers."""
        ...

    def model_at(self, step: int) -> RecurrentModel:
        """The model as the step after so many trains it; hashable, each is compiled once.

        All of them have the variables of that at step 0.
        """
        ...

    def abstract_batch(self) -> Any:
        """Shapes and dtypes of a global batch."""
        ...

    def start_from(self, fresh: Variables) -> Variables:
        """The values that training starts from, given fresh ones: those, or a foundation's."""
        ...

    def load(self) -> Any:
        """Training and held-out data, prepared at first use."""
        ...

    def training_batches(self, data: Any, mesh: Mesh) -> loop.BatchIterator:
        """Endless batches of `load`'s data, each process holding its part."""
        ...

    def hooks(
        self, data: Any, batches: Any, mesh: Mesh, progress: terminal.ProgressCallback
    ) -> loop.Hooks:
        """What is averaged, and measured on held-out data, as the loop goes over `batches`."""
        ...


def read_config(folder: pathlib.Path, kind: type[Config]) -> Config:
    """The configuration a run was started with.

    Raises:
      RunError: if the folder holds no run.
      ConfigError: if the run was of another kind.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(f"expected a run in {folder}, found no config.json; name a run's folder")
    return config_lib.from_json(kind, path.read_text(encoding="utf-8"))


def run_of(checkpoint: pathlib.Path) -> pathlib.Path:
    """The run's folder, given it or the folder of one of its checkpoints."""
    inside = checkpoint.name.startswith("step_")
    return checkpoint.absolute().parent.parent if inside else checkpoint


def restore(task: Task, checkpoint: pathlib.Path, mesh: Mesh) -> tuple[Variables, int]:
    """A trained model: the variables to evaluate with, and the step they are from.

    Args:
      task: the run's.
      checkpoint: the run's folder, for its newest intact checkpoint, or one checkpoint's.
      mesh: the devices that each get all variables.

    Raises:
      RunError: if there is no checkpoint.
      CheckpointError: if the named one is damaged.
    """
    folder = run_of(checkpoint) / CHECKPOINTS
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)),
        _abstract_state(task),
    )
    reader, one = CheckpointReader(folder), folder.parent != checkpoint
    restored = reader.restore(checkpoint, target) if one else reader.latest(target)
    if restored is None:
        raise RunError(f"expected a checkpoint in {folder}, found none that is intact")
    return restored.state.averaged_variables, restored.step


def _abstract_state(task: Task) -> TrainState:
    """Shapes and dtypes of the state."""
    return jax.eval_shape(_initialiser(task), jax.random.key(task.config.seed))


def _initialiser(task: Task) -> Callable[[jax.Array], TrainState]:
    """The state from a key."""
    return lambda key: init_state(task.model_at(0), task.optimizers, key, _empty_batch(task))


def _empty_batch(task: Task) -> Any:
    return jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), task.abstract_batch())


def begin(task: Task, mesh: Mesh) -> TrainState:
    """The state before the first step, its arrays where training has them."""
    shardings = state_shardings(_abstract_state(task), mesh)
    state = jax.jit(_initialiser(task), out_shardings=shardings)(jax.random.key(task.config.seed))
    variables = task.start_from(state.variables)
    if variables is state.variables:
        return state
    restart = functools.partial(state_from_variables, task.model_at(0), task.optimizers)
    batch = _empty_batch(task)
    return jax.jit(restart, out_shardings=shardings)(variables, state.key, batch)


def train(
    task: Task,
    folder: pathlib.Path,
    console: Console,
    *,
    resume: bool,
    shown: terminal.Shown,
) -> TrainState:
    """Trains in `folder` until the last step or a signal, and leaves everything saved.

    Args:
      task: what to train.
      folder: the run's; new, unless `resume`.
      console: where progress is shown.
      resume: go on from the newest intact checkpoint in `folder`, if there is one.
      shown: what the progress says.

    Returns:
      The state after the last step done.

    Raises:
      RunError: if the folder holds a run already and `resume` is False.
      InUse: if another process trains there.
      CheckpointError: if the folder cannot be written or hold the checkpoints.
      Diverged: if the loss is not finite.
      Ended: if an evaluation ended the run.
    """
    if (folder / "config.json").exists() and not resume:
        raise RunError(f"{folder} holds a run already; add --resume, or choose another --run")
    config, mesh = task.config, make_mesh(task.config.mesh)
    abstract = _abstract_state(task)
    check_writable(folder, (config.loop.keep_checkpoints + 1) * state_bytes(abstract))
    with console.status("preparing data"):
        data = _load_in_turn(task.load)
    state, shardings = begin(task, mesh), state_shardings(abstract, mesh)
    batches = task.training_batches(data, mesh)
    store = CheckpointStore(folder / CHECKPOINTS, config.loop.keep_checkpoints)
    state, extras = (loop.resume(store, state, batches) if resume else None) or (state, None)
    first_step, steps = int(state.step), config.loop.steps
    with (
        exclusive(folder, wanted=jax.process_index() == 0),
        RunLog(folder, resume_step=first_step if extras else -1) as log,
        GracefulStop() as stop,
        terminal.training_progress(console, first_step, steps, shown) as progress,
    ):
        write_run_info(folder, config)
        state = loop.run_steps(
            state,
            _compiled_steps(task, shardings, mesh),
            batches,
            config=config.loop,
            store=store,
            log=log,
            hooks=task.hooks(data, batches, mesh, progress),
            stop=stop,
            extras=extras,
        )
    if int(state.step) < steps:
        console.print(_stopped(stop.signal_name, int(state.step), folder), soft_wrap=True)
    return state


def _stopped(signal_name: str | None, step: int, folder: pathlib.Path) -> str:
    """What is said about a run that was stopped, and how it goes on."""
    by = signal_name or "another process"
    return f"stopped by {by} after step {step}, saved in {folder}; --resume --run={folder} goes on"


def _load_in_turn(load: Callable[[], Any]) -> Any:
    """The data; process 0 has prepared them when the others look."""
    if jax.process_index() != 0:
        multihost_utils.sync_global_devices("data are prepared")
    data = load()
    if jax.process_index() == 0 and jax.process_count() > 1:
        multihost_utils.sync_global_devices("data are prepared")
    return data


def _compiled_steps(task: Task, shardings: TrainState, mesh: Mesh) -> Callable[[int], TrainStep]:
    """The training step to take after so many, under `jit`.

    The state is donated, the metrics are on every host.
    """

    @functools.cache
    def compiled(model: RecurrentModel) -> TrainStep:
        return jax.jit(
            with_ambient_mesh(make_train_step(model, task.loss, task.optimizers), mesh),
            donate_argnums=0,
            in_shardings=(shardings, batch_sharding(mesh)),
            out_shardings=(shardings, replicated(mesh)),
        )

    return lambda step: compiled(task.model_at(step))
