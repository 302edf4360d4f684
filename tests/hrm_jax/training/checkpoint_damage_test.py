"""Checkpoints damaged after a save, and saves that end too early."""

import logging
import os
import random
import shutil

import jax.numpy as jnp
import pytest

from hrm_jax.core import files
from hrm_jax.training import checkpoint
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore
from hrm_jax.training.state_arrays import CheckpointError

SMALL = {"x": jnp.arange(4.0)}


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", keep=2)


def save_small(store, *steps):
    for step in steps:
        store.save(step, {"x": jnp.arange(4.0) + step}, {"step": step})


def visible(store):
    return sorted(path.name for path in store.folder.iterdir())


def test_a_damaged_checkpoint_does_not_count_as_kept(store):
    save_small(store, 1, 2)
    (store.folder / "step_00000002" / "extras.json").unlink()
    save_small(store, 3)
    assert store.steps() == [1, 2, 3]
    save_small(store, 4)
    assert store.steps() == [3, 4]


def files_of(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def flip(path):
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [flip, truncate, remove])
def test_any_damaged_file_is_named_and_the_checkpoint_before_is_used(store, caplog, damage):
    save_small(store, 1, 2)
    newest = store.folder / "step_00000002"
    names = [name for name in files_of(newest) if name != "manifest.json"]
    assert "extras.json" in names
    assert any(name.startswith("state/") for name in names)
    for name in names:
        backup = store.folder.parent / "backup"
        shutil.copytree(newest, backup)
        damage(newest / name)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert store.latest(SMALL).step == 1
        (message,) = [r.getMessage() for r in caplog.records if r.name == checkpoint.__name__]
        assert message.startswith(f"skipping damaged checkpoint {newest}: {name}")
        with pytest.raises(CheckpointError, match=f"step_00000002 is damaged: {name}"):
            store.restore(2, SMALL)
        with pytest.raises(CheckpointError, match=f"step_00000002 is damaged: {name}"):
            store.load_extras(2)
        shutil.rmtree(newest)
        shutil.move(backup, newest)
    assert store.latest(SMALL).step == 2


def test_damaged_manifest(store):
    save_small(store, 1, 2)
    truncate(store.folder / "step_00000002" / "manifest.json")
    assert store.latest(SMALL).step == 1
    (store.folder / "step_00000001" / "manifest.json").unlink()
    assert store.latest(SMALL) is None


class Crash(BaseException):
    """As a SIGKILL: nothing handles it."""


def crash_at(monkeypatch, nth):
    """Ends the process, as far as the code can tell, at the nth change of the file system."""
    calls = 0
    remove_tree = shutil.rmtree

    def wrap(function):
        def wrapped(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == nth:
                if function is remove_tree:
                    for name in files_of(args[0])[:1]:
                        (args[0] / name).unlink()
                raise Crash
            return function(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(os, "rename", wrap(os.rename))
    monkeypatch.setattr(os, "replace", wrap(os.replace))
    monkeypatch.setattr(shutil, "rmtree", wrap(shutil.rmtree))
    monkeypatch.setattr(os, "fsync", wrap(os.fsync))


@pytest.mark.parametrize("step", [2, 1])  # a new one, and one that replaces
def test_a_crash_at_any_point_leaves_whole_checkpoints(tmp_path, step):
    for nth in range(1, 200):
        folder = tmp_path / str(nth)
        store = CheckpointStore(folder, keep=1)
        save_small(store, 1)
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, nth)
            try:
                store.save(step, {"x": jnp.zeros(4)}, {"new": True})
                break  # went through without reaching the nth change
            except Crash:
                pass
        reader = CheckpointReader(folder)
        assert all(files.find_damage(folder / f"step_{s:08d}") is None for s in reader.steps())
        again = CheckpointStore(folder, keep=1)
        restored = again.latest(SMALL)
        assert restored.extras in ({"step": 1}, {"new": True})
        assert all(name.startswith("step_") for name in visible(again))
    else:
        pytest.fail("save never went through")
    assert nth > 10


def test_a_full_disk_leaves_the_old_checkpoint_and_the_next_save_works(store, monkeypatch):
    save_small(store, 1)

    def fail(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            save_small(store, 2)
    assert store.steps() == [1]
    save_small(store, 2)
    assert visible(store) == ["step_00000001", "step_00000002"]


def test_a_reader_leaves_a_save_in_progress_alone(store):
    save_small(store, 1)
    (store.folder / ".saving-step_00000002").mkdir()
    assert CheckpointReader(store.folder).latest(SMALL).step == 1
    assert ".saving-step_00000002" in visible(store)
    assert visible(CheckpointStore(store.folder, keep=2)) == ["step_00000001"]
