"""Models as folders."""

import json
import os
import shutil

import jax
import numpy as np
import pytest

from hrm_jax.convert.files import load_state_dict
from hrm_jax.convert.model_folder import load_model, save_model
from hrm_jax.convert.pytorch import to_state_dict
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel

CONFIG = hrm(
    seq_len=5, puzzle_emb_ndim=8, hidden_size=8, num_heads=2, H_layers=1, L_layers=1, L_cycles=3
)


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(PuzzleModel(CONFIG).init, jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)


@pytest.fixture
def folder(tmp_path, variables):
    save_model(tmp_path / "model", CONFIG, variables)
    return tmp_path / "model"


def assert_intact(folder, variables) -> None:
    model, loaded = load_model(folder)
    assert model == PuzzleModel(CONFIG)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


def test_round_trip_is_exact(folder, variables):
    assert_intact(folder, variables)


def test_the_weights_bear_the_published_names(folder, variables):
    weights = load_state_dict(folder / "weights.safetensors")
    assert weights.keys() == to_state_dict(variables).keys()
    assert "model.inner.H_init" in weights


def test_a_model_replaces_a_model(folder, variables):
    save_model(folder, CONFIG, jax.tree.map(lambda x: x + 1, variables))
    save_model(folder, CONFIG, variables)
    assert_intact(folder, variables)
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_what_is_no_model_is_left_alone(tmp_path, variables):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(WeightsError, match=r"or a model folder, found thesis\.tex"):
        save_model(tmp_path, CONFIG, variables)
    with pytest.raises(WeightsError, match="or a model folder, found a file"):
        save_model(tmp_path / "thesis.tex", CONFIG, variables)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_save_that_fails_leaves_a_whole_model(folder, variables, monkeypatch, renames):
    """The disk fails at the rename of a file into the new folder, or of the folder itself."""
    rename = os.rename
    replace = os.replace
    done = []

    def failing(function):
        def fail_later(*args):
            if len(done) == renames:
                raise OSError("disk failed")
            done.append(args)
            return function(*args)

        return fail_later

    monkeypatch.setattr(os, "rename", failing(rename))
    monkeypatch.setattr(os, "replace", failing(replace))
    with pytest.raises(OSError, match="disk failed"):
        save_model(folder, CONFIG, jax.tree.map(lambda x: x + 1, variables))
    monkeypatch.undo()
    assert_intact(folder, variables)
    save_model(folder, CONFIG, variables)  # what the failure left behind is no obstacle
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_a_kill_between_the_renames_keeps_the_old_model_beside(folder, variables, monkeypatch):
    rename = os.rename

    def kill_at_second(source, target):
        if target == folder:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", kill_at_second)
    with pytest.raises(KeyboardInterrupt):
        save_model(folder, CONFIG, variables)
    assert not folder.exists()
    assert_intact(folder.with_name("model.replaced"), variables)


def test_weights_of_another_config_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 12}))
    with pytest.raises(WeightsError, match=r"lm_head\.weight: expected \(12, 8\), found \(11, 8\)"):
        load_model(folder)


def test_a_config_of_something_else_is_refused(folder):
    (folder / "config.json").write_text('{"hidden_sise": 8}')
    with pytest.raises(ConfigError, match="hidden_sise: unknown field; the nearest is hidden_size"):
        load_model(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ConfigError, match=r"expected a folder of HRM or TRM, .*'llama'.*--model"):
        load_model(folder)


def test_an_absent_folder_is_an_os_error(folder):
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        load_model(folder)
