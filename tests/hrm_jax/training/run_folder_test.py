"""How a run is found again, and read."""

import os

import jax
import numpy as np
import pytest

from hrm_jax.core.config import configclass, field, to_json
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.training import run
from hrm_jax.training.run_config import TrainConfig
from hrm_jax.training.run_folder import newest_run, read_config, restore, run_of
from hrm_jax.training.run_log import write_run_info
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


@configclass
class Paths:
    file: str = field("", path_holds=".")
    corpus: str = field("", path_holds="mark")
    text: str = ""


CONFIG = Paths("data/a.csv", "mine", "data/a.csv")


@pytest.fixture
def begun_in(tmp_path, monkeypatch):
    """The folder in which a run began, whose run is in its folder `run`."""
    folder = tmp_path / "begun"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.csv").write_text("here")
    (folder / "mine").mkdir()
    monkeypatch.chdir(folder)
    write_run_info(folder / "run", CONFIG)
    return folder


def test_paths_lead_where_they_led_when_the_run_began(begun_in, tmp_path, monkeypatch):
    assert read_config(begun_in / "run", Paths) == CONFIG  # as they were written
    monkeypatch.chdir(tmp_path)
    found = read_config(begun_in / "run", Paths)
    # `mine` is a name: no corpus lies there.
    assert found == Paths(str(begun_in / "data" / "a.csv"), "mine", "data/a.csv")
    (begun_in / "mine" / "mark").touch()
    assert read_config(begun_in / "run", Paths).corpus == str(begun_in / "mine")
    # Resumed from elsewhere, the run's paths are those of there.
    write_run_info(begun_in / "run", found)
    monkeypatch.chdir("/")
    assert read_config(begun_in / "run", Paths) == found


def test_paths_that_lead_nowhere_stay_as_they_are(begun_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (begun_in / "data" / "a.csv").unlink()
    assert read_config(begun_in / "run", Paths) == CONFIG
    (begun_in / "data" / "a.csv").touch()
    for text in ("{}", "[]", "{", '{"working_folder": 3}'):  # also of earlier versions
        (begun_in / "run" / "environment.json").write_text(text)
        assert read_config(begun_in / "run", Paths) == CONFIG
    (begun_in / "run" / "environment.json").unlink()
    assert read_config(begun_in / "run", Paths) == CONFIG


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
