"""Starts, stops, queues and removes runs; all that is known of them is in files.

    <run>/job.json              version, pid, launched_seconds, command; of the last process
    <run>/output.txt            what the processes printed
    .studio/queue/*.json        runs that wait: version, run, experiment, preset, texts
    .studio/lock                held while a process is started or a run is moved
    .bin/<time>-<name>          runs that were deleted

So a studio that is started again, and a second one for the same folder, know the same.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import exclusive, write_atomically
from hrm_jax.studio import forms, states
from hrm_jax.studio.folders import BIN, STUDIO, Runs, read_object
from hrm_jax.studio.forms import Experiment, Filled
from hrm_jax.training.run_files import PROCESS

VERSION = 1
_LOCK_SECONDS = 5.0


class JobError(UserError, ValueError):
    """A run cannot be started, stopped or removed as it is."""


class Advanced(NamedTuple):
    """What became of the queue.

    Attributes:
      started: the run that was started, if any.
      dropped: why others can never be started, and wait no more.
    """

    started: str | None
    dropped: list[str]


class Jobs:
    """The processes of the runs in one folder."""

    def __init__(self, runs: Runs, experiments: Mapping[str, Experiment]):
        self._runs = runs
        self._experiments = experiments
        self._children: list[subprocess.Popen[bytes]] = []

    def start(
        self, name: str, experiment: str, preset: str, texts: Mapping[str, str], *, queued: bool
    ) -> None:
        """Starts a run, or lets it wait until no other runs.

        Raises:
          FormError: the configuration is not right.
          JobError: there is a run of this name.
          UnknownRun: no run can have it.
        """
        folder = self._runs.path(name)
        forms.fill(self._experiment(experiment), preset, texts)
        with self._alone():
            if os.path.lexists(folder) or name in self.queue():
                raise JobError(f"name: there is a run {name!r} already; choose another")
            entry = {"run": name, "experiment": experiment, "preset": preset, "texts": dict(texts)}
            if queued:
                path = self._queue_folder() / f"{time.time_ns()}.json"
                write_atomically(path, json.dumps({"version": VERSION, **entry}, indent=1))
            else:
                self._begin(entry)

    def queue(self) -> dict[str, pathlib.Path]:
        """Returns the files of the runs that wait, by name, in their order."""
        return {str(read_object(path).get("run", "")): path for path in self._queue_files()}

    def advance(self) -> Advanced:
        """Starts the next run that waits, if none is being trained.

        Raises:
          OSError: it cannot be started now, such as on a full disk; it waits on.
        """
        if not self._queue_files():
            return Advanced(None, [])
        forms.load_all(self._experiments)  # before the lock, which others wait for
        with self._alone():
            # Looked at here, as another studio may have started one until now.
            if any(self._state(self._runs.path(name)).is_here for name in self._own_names()):
                return Advanced(None, [])
            dropped = []
            for path in self._queue_files():
                entry = read_object(path)
                name = str(entry.get("run", ""))
                try:
                    if os.path.lexists(self._runs.path(name)):
                        raise JobError(f"there is a run {name!r} already")
                    self._begin(entry)
                except (UserError, KeyError, ValueError, TypeError) as error:
                    path.unlink(missing_ok=True)
                    dropped.append(f"{name or path.name} has left the queue: {error}")
                else:
                    path.unlink(missing_ok=True)
                    return Advanced(name, dropped)
        return Advanced(None, dropped)

    def resume(self, name: str, experiment: str) -> None:
        """Lets a run go on from its newest checkpoint, as it was configured.

        Raises:
          JobError: it runs, or cannot be resumed.
        """
        folder = self._runs.own(name)
        with self._alone():
            _refuse_alive(name, self._state(folder), "stop it to take it up anew")
            if not experiment:
                raise JobError(f"{name}: its config.json is of no experiment that is known here")
            _refuse_links(folder)
            flags = ("--resume", f"--run={folder}")
            self._launch(folder, self._experiment(experiment), flags)

    def stop(self, name: str) -> None:
        """Asks a run to save and end, or takes it from the queue.

        Raises:
          JobError: it does not run, or its process is not one of this run.
        """
        if name in self.queue():
            # Alone: it might be started just now, and then it has to be stopped.
            with self._alone():
                waiting = self.queue().get(name)
                if waiting is not None:
                    waiting.unlink(missing_ok=True)
                    return
        folder = self._runs.own(name)
        state = self._state(folder)
        if state.pid is None:
            raise JobError(f"{name} does not run here")
        # The pid is from a file, and files may come from anyone: the process itself has to agree.
        if not states.works_on(state.pid, folder):
            raise JobError(f"{name}: process {state.pid} is not one that trains in its folder")
        if state.word == "starting":
            _refuse_links(folder)
            job = read_object(folder / states.JOB)
            write_atomically(folder / states.JOB, json.dumps({**job, "stopped": True}))
        os.kill(state.pid, signal.SIGTERM)

    def delete(self, name: str) -> str:
        """Moves a run into the bin; returns the name that it has there.

        Raises:
          JobError: it runs.
        """
        folder = self._runs.own(name)
        with self._alone():
            _refuse_alive(name, self._state(folder), "stop it before")
            binned = f"{time.strftime('%Y%m%d-%H%M%S')}-{_as_part(name)}"
            os.rename(folder, self._runs.aside(BIN) / binned)
        return binned

    def binned(self) -> list[str]:
        """Returns the names that runs have in the bin, the latest first."""
        with contextlib.suppress(OSError), os.scandir(self._runs.root / BIN) as entries:
            return sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))[::-1]
        return []

    def restore(self, binned: str) -> str:
        """Moves a run from the bin to where it was; returns its name.

        Raises:
          JobError: it is not in the bin, or there is another run of its name.
        """
        folder = self._runs.root / BIN / pathlib.PurePath(binned).name
        name = _as_name(binned.split("-", 2)[-1])
        path = self._runs.path(name)
        with self._alone():
            if not folder.is_dir() or os.path.lexists(path):
                raise JobError(f"{name} is not in the bin, or there is another run of this name")
            path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, path)
        return name

    def _begin(self, entry: Mapping[str, Any]) -> None:
        """Starts a run whose folder does not exist yet."""
        experiment = self._experiment(str(entry["experiment"]))
        filled: Filled = forms.fill(experiment, str(entry["preset"]), dict(entry["texts"]))
        folder = self._runs.path(str(entry["run"]))
        folder.mkdir(parents=True)
        try:
            self._launch(folder, experiment, (*filled.flags, f"--run={folder}"))
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _launch(self, folder: pathlib.Path, experiment: Experiment, flags: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", experiment.module, *flags]
        with open(folder / states.OUTPUT, "ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {states.RUN_VARIABLE: os.path.realpath(folder)},
                start_new_session=True,  # it outlives the studio and its terminal
            )
        # Those that have ended are asked for their codes, so that they do not stay as zombies.
        self._children = [one for one in self._children if one.poll() is None] + [child]
        job = {
            "version": VERSION,
            "pid": child.pid,
            "launched_seconds": time.time(),
            "command": ["python", *command[1:]],
        }
        write_atomically(folder / states.JOB, json.dumps(job, indent=1))

    def _experiment(self, name: str) -> Experiment:
        if name not in self._experiments:
            known = ", ".join(self._experiments)
            raise JobError(f"experiment: expected one of {known}, got {name!r}")
        return self._experiments[name]

    def _own_names(self) -> list[str]:
        return [name for name in self._runs.names() if self._runs.is_own(name)]

    def _state(self, folder: pathlib.Path) -> states.RunState:
        return states.state_of(folder, is_complete=False)

    def _queue_files(self) -> list[pathlib.Path]:
        return sorted((self._runs.root / STUDIO / "queue").glob("*.json"))

    def _queue_folder(self) -> pathlib.Path:
        folder = self._runs.aside(STUDIO) / "queue"
        folder.mkdir(exist_ok=True)
        return folder

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits until no other studio, and no other request, starts or moves runs."""
        folder = self._runs.aside(STUDIO)
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                lock = exclusive(folder)
                lock.__enter__()
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        with contextlib.ExitStack() as stack:
            stack.push(lock)
            yield


def _refuse_alive(name: str, state: states.RunState, remedy: str) -> None:
    """Raises JobError where a process works on a run."""
    if state.is_alive and not state.is_here:
        remedy = f"if it does not any more, remove {PROCESS} from its folder"
    if state.is_alive:
        where = f" {state.message}" if state.message else ""
        raise JobError(f"{name} runs{where}; {remedy}")


def _as_part(name: str) -> str:
    """Returns a run's name as the name of a single folder."""
    return name.replace("%", "%25").replace("~", "%7E").replace("/", "~")


def _as_name(part: str) -> str:
    """Returns the run's name that `_as_part` wrote."""
    return part.replace("~", "/").replace("%7E", "~").replace("%25", "%")


def _refuse_links(folder: pathlib.Path) -> None:
    """Raises JobError where what is written into a folder could end up elsewhere."""
    links = [path for path in folder.rglob("*") if path.is_symlink()]
    if links:
        raise JobError(f"{links[0]} is a link; replace it by the file itself, or remove it")
