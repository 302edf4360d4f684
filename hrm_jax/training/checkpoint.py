"""Checkpoints that are whole or absent, and verified byte by byte before they are used.

A checkpoint is a folder `step_00001234`, complete from the moment it has that name:

    state/          the arrays, written by orbax under their paths in the state pytree
    state.json      step, and path, shape and dtype of every leaf
    extras.json     what the caller gave besides: iterator state, config, best metric
    manifest.json   size and SHA-256 of all the files above

With several processes, all of them call the same methods in the same order, on a folder that they
share: orbax writes each one's shards, process 0 writes the rest and renames.
"""

import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from hrm_jax.core import files
from hrm_jax.training import state_arrays
from hrm_jax.training.state_arrays import CheckpointError

_log = logging.getLogger(__name__)

# A folder with one of these prefixes is not a checkpoint: not yet, or no longer.
_SAVING = ".saving-"
_REPLACED = ".replaced-"
_REMOVED = ".removed-"


class Restored(NamedTuple):
    """A checkpoint's content.

    Attributes:
        step: the step it was saved at.
        state: pytree of the target's structure and shardings; values equal to the bit.
        extras: what was saved beside the state, as JSON gives it back (tuples are lists).
    """

    step: int
    state: Any
    extras: dict[str, Any]


class CheckpointReader:
    """Reads checkpoints, even while a `CheckpointStore` in another process writes them."""

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder).absolute()

    def steps(self) -> list[int]:
        """Returns the steps of all checkpoints, damaged ones included, in ascending order."""
        if not self.folder.is_dir():
            return []
        # Eight digits or more: `_path` fills up to eight, and no later step is left out.
        matches = (re.fullmatch(r"step_(\d{8,})", path.name) for path in self.folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def latest(self, target: Any) -> Restored | None:
        """Restores and returns the newest intact checkpoint; None where there is none.

        Damaged ones are skipped, each with a logged warning that says what is wrong with it.

        Args:
            target: as for `restore`.

        Raises:
            CheckpointError: the checkpoint does not fit `target`.
        """
        newest = -1
        # Process 0 alone hashes the files, and tells the others: all must restore the same step.
        if jax.process_index() == 0:
            for step in reversed(self.steps()):
                damage = files.find_damage(self._path(step))
                if damage is None:
                    newest = step
                    break
                _log.warning("skipping damaged checkpoint %s: %s", self._path(step), damage)
        newest = _from_process_0(newest)
        return None if newest < 0 else _load(self._path(newest), target)

    def restore(self, path_or_step: str | os.PathLike[str] | int, target: Any) -> Restored:
        """Restores and returns one checkpoint.

        Args:
            path_or_step: a checkpoint's folder, or a step in this reader's folder.
            target: pytree like the saved state, of arrays or `jax.ShapeDtypeStruct`s. Each array
                comes back with its target's sharding (on the first local device where a
                ShapeDtypeStruct has none), and as a NumPy array where the target has one.

        Raises:
            CheckpointError: the checkpoint is absent or damaged, or a leaf's path, shape or dtype
                differs from the target's.
        """
        folder = self._verified(path_or_step)
        return _load(folder, target)

    def load_extras(self, path_or_step: str | os.PathLike[str] | int) -> dict[str, Any]:
        """Returns the extras; raises CheckpointError if the checkpoint is absent or damaged."""
        return files.read_json(self._verified(path_or_step) / "extras.json")

    def _path(self, step: int) -> Path:
        return self.folder / f"step_{step:08d}"

    def _verified(self, path_or_step: str | os.PathLike[str] | int) -> Path:
        is_step = isinstance(path_or_step, int)
        folder = self._path(path_or_step) if is_step else Path(path_or_step).absolute()
        if not folder.is_dir():
            there = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(
                f"expected a checkpoint at {folder}, found none; {self.folder} has steps: {there}"
            )
        # Process 0 reads for all, and all of them stop: one alone would leave the rest waiting.
        damage = files.find_damage(folder) if jax.process_index() == 0 else "see process 0"
        if _from_process_0(damage is not None):
            raise CheckpointError(f"{folder} is damaged: {damage}; restore another checkpoint")
        return folder


class CheckpointStore(CheckpointReader):
    """Writes checkpoints, as the only writer of its folder, and keeps the newest ones.

    Opening a store removes what an interrupted save has left behind.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int):
        """Opens `folder`, made if absent, to keep the `keep` (at least 1) newest checkpoints."""
        super().__init__(folder)
        if keep < 1:
            raise CheckpointError(f"keep: expected at least 1 checkpoint, got {keep}; set keep=1")
        self._keep = keep
        if jax.process_index() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clean()
        _wait_for_all("opened")

    def save(self, step: int, state: Any, extras: dict[str, Any]) -> Path:
        """Saves a checkpoint, then removes old ones; returns the new one's folder.

        An interrupted save leaves no checkpoint, and no older one is removed before the new one
        is durable. A checkpoint of the same step is replaced.

        Args:
            step: 0 or more.
            state: pytree of JAX arrays (of any sharding; typed keys too) and NumPy arrays.
            extras: what `json.dumps` accepts.

        Raises:
            CheckpointError: a leaf is not an array, or `extras` does not go into JSON.
            OSError: the disk is full or fails.
        """
        if step < 0:
            raise CheckpointError(f"step: expected 0 or more, got {step}; count steps from 0")
        # Before anything is written: a state or extras that do not go into files leave no trace.
        arrays, description = state_arrays.flatten(state)
        extras_text = _to_json(extras)
        final = self._path(step)
        # Written under another name and renamed when complete, as renaming a folder is atomic.
        temporary = self.folder / f"{_SAVING}{final.name}"
        if jax.process_index() == 0:
            _remove(temporary)
            temporary.mkdir()
        _wait_for_all(f"began {step}")
        # Imported here: it takes half a second, which a process that only solves need not spend.
        import orbax.checkpoint as ocp

        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
            checkpointer.save(temporary / "state", args=ocp.args.StandardSave(arrays))
        if jax.process_index() == 0:
            description_text = json.dumps({"step": step, "leaves": description}, indent=1)
            (temporary / "state.json").write_text(description_text, encoding="utf-8")
            (temporary / "extras.json").write_text(extras_text, encoding="utf-8")
            # The manifest comes last, as it lists size and hash of every other file.
            files.write_manifest(temporary)
            self._publish(temporary, final)
            self._prune(step)
        _wait_for_all(f"saved {step}")
        return final

    def discard_after(self, step: int) -> None:
        """Removes the checkpoints of later steps, so that a run can resume from this one."""
        if jax.process_index() == 0:
            self._discard(later for later in self.steps() if later > step)
        _wait_for_all(f"discarded {step}")

    def _publish(self, temporary: Path, final: Path) -> None:
        # A rename cannot replace a folder that is not empty, so an old checkpoint of this step is
        # moved away first. `_clean` moves it back if the process dies before the second rename.
        replaced = self.folder / f"{_REPLACED}{final.name}"
        if final.exists():
            _remove(replaced)
            os.rename(final, replaced)
        os.rename(temporary, final)
        # The rename itself lasts only when the folder's own entries are on the disk.
        files.sync_folder(self.folder)
        _remove(replaced)

    def _prune(self, saved: int) -> None:
        # A damaged checkpoint does not count as kept. The one just saved stays, even if checkpoints
        # of later steps are there from an earlier attempt at this run.
        steps = self.steps()
        # Sizes alone: hashing would read all checkpoints after each save.
        intact = [s for s in steps if files.find_damage(self._path(s), hashes=False) is None]
        oldest_kept = min(saved, *intact[-self._keep :])
        self._discard(step for step in steps if step < oldest_kept)

    def _discard(self, steps: Any) -> None:
        for step in steps:
            # Renamed first: a reader must never find a checkpoint of which half is removed.
            removed = self.folder / f"{_REMOVED}{self._path(step).name}"
            _remove(removed)
            os.rename(self._path(step), removed)
            _remove(removed)

    def _clean(self) -> None:
        for path in self.folder.glob(f"{_REPLACED}*"):
            original = self.folder / path.name.removeprefix(_REPLACED)
            # The process died between the two renames of `_publish`.
            if not original.exists():
                os.rename(path, original)
        # A replaced folder that is still here has its successor in place, and can go.
        for prefix in (_SAVING, _REPLACED, _REMOVED):
            for path in self.folder.glob(f"{prefix}*"):
                _remove(path)


def check_writable(folder: str | os.PathLike[str], required_bytes: int) -> None:
    """Makes `folder` and checks, before a run begins, that `required_bytes` more fit on its disk.

    Raises:
        CheckpointError: the folder cannot be made or written, or its disk is too full.
    """
    folder = Path(folder).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Written in earnest, as permissions do not tell of a full disk or a quota.
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
            probe.flush()
    except OSError as error:
        raise CheckpointError(
            f"expected a writable folder at {folder}, got {error}; choose another folder or "
            "change its permissions"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < required_bytes:
        raise CheckpointError(
            f"expected {required_bytes:,} free bytes for {folder}, found {free:,}; free "
            f"{required_bytes - free:,} bytes, keep fewer checkpoints, or choose another folder"
        )


def _load(folder: Path, target: Any) -> Restored:
    saved = files.read_json(folder / "state.json")
    abstract = state_arrays.abstract_arrays(saved["leaves"], target, folder)
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        arrays = checkpointer.restore(folder / "state", args=ocp.args.StandardRestore(abstract))
    state = state_arrays.unflatten(arrays, saved["leaves"], target)
    return Restored(saved["step"], state, files.read_json(folder / "extras.json"))


def _to_json(extras: dict[str, Any]) -> str:
    try:
        return json.dumps(extras, indent=1)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"extras: expected values that JSON can hold, got {error}; put arrays into the state"
        ) from error


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _from_process_0(value: int) -> int:
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def _wait_for_all(what: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"checkpoint: {what}")
