"""Folders replaced as a whole; `model_folder_test.py` has the failing disk and the kill."""

import pytest

from hrm_jax.convert.folders import replacing_folder
from hrm_jax.convert.weights import WeightsError


def is_ours(name: str) -> bool:
    return name.endswith(".ours")


def write(folder, name: str) -> None:
    with replacing_folder(folder, is_ours) as saving:
        (saving / name).touch()


def test_a_new_folder_takes_the_old_ones_place(tmp_path):
    for name in ("old.ours", "new.ours"):
        write(tmp_path / "deep" / "model", name)
    assert [path.name for path in (tmp_path / "deep").rglob("*")] == ["model", "new.ours"]


def test_a_block_that_fails_changes_nothing(tmp_path):
    write(tmp_path / "model", "old.ours")
    with pytest.raises(OSError, match="full"), replacing_folder(tmp_path / "model", is_ours):
        raise OSError("full")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old.ours"]


def test_what_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(WeightsError, match=r"a model folder, found tokenizer\.json"):
        write(tmp_path, "new.ours")
    with pytest.raises(WeightsError, match="a model folder, found a file"):
        write(tmp_path / "tokenizer.json", "new.ours")
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
