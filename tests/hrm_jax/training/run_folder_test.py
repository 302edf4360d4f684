"""How a run is found again, and read."""

import os

import jax
import numpy as np
import pytest

from hrm_jax.core.config import to_json
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.training import run
from hrm_jax.training.run_folder import newest_run, read_config, restore, run_of
from hrm_jax.training.task import TrainConfig
from tests.hrm_jax.training.tiny import TinyTask

MESH = make_mesh(MeshConfig(), jax.devices()[:1])


def test_the_newest_run_is_the_one_saved_last(tmp_path):
    for age, name in enumerate(("new", "newer", "newest")):
        (tmp_path / name / run.CHECKPOINTS).mkdir(parents=True)
        os.utime(tmp_path / name / run.CHECKPOINTS, (age, age))
    (tmp_path / "no run").mkdir()
    assert newest_run(tmp_path) == tmp_path / "newest"


def test_no_run_below_a_folder(tmp_path):
    with pytest.raises(run.RunError, match="found none; train one first"):
        newest_run(tmp_path)


def test_a_config_comes_back_as_it_was_saved(tmp_path):
    (tmp_path / "config.json").write_text(to_json(TinyTask().config))
    assert read_config(tmp_path, TrainConfig) == TinyTask().config
    with pytest.raises(run.RunError, match=r"found no config\.json; name a run's folder"):
        read_config(tmp_path / "elsewhere", TrainConfig)


def test_a_run_without_a_checkpoint_cannot_be_restored(tmp_path):
    with pytest.raises(run.RunError, match="found none that is intact"):
        restore(TinyTask(), tmp_path, MESH)


def test_a_run_and_each_of_its_checkpoints_can_be_restored(tmp_path):
    state = run.train(TinyTask(), tmp_path)
    variables, step = restore(TinyTask(), tmp_path, MESH)
    assert step == 4
    jax.tree.map(np.testing.assert_array_equal, variables, state.averaged_variables)
    checkpoint = tmp_path / run.CHECKPOINTS / "step_00000002"
    assert run_of(checkpoint) == tmp_path
    assert restore(TinyTask(), checkpoint, MESH)[1] == 2
