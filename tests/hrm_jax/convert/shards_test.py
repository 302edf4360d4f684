"""Weights in one file or several."""

import json

import numpy as np
import pytest

from hrm_jax.convert.shards import is_weights_file, load_shards, save_shards
from hrm_jax.convert.weights import WeightsError

TENSORS = {name: np.full((5, 2), index, np.float32) for index, name in enumerate("abcde")}
BYTES = TENSORS["a"].nbytes
INDEX = "model.safetensors.index.json"


def assert_same(found) -> None:
    assert found.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("max_bytes", "files"), [(5 * BYTES, 1), (5 * BYTES - 1, 2), (2 * BYTES, 3), (1, 5)]
)
def test_round_trip_in_as_many_files_as_needed(tmp_path, max_bytes, files):
    save_shards(tmp_path, TENSORS, max_bytes)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == (
        {"model.safetensors"}
        if files == 1
        else {INDEX, *(f"model-{i:05}-of-{files:05}.safetensors" for i in range(1, files + 1))}
    )
    assert all(map(is_weights_file, names))
    assert_same(load_shards(tmp_path))


def test_the_index_says_where_each_tensor_is(tmp_path):
    save_shards(tmp_path, TENSORS, 3 * BYTES)
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 5 * BYTES
    first = "model-00001-of-00002.safetensors"
    second = "model-00002-of-00002.safetensors"
    assert index["weight_map"] == {"a": first, "b": first, "c": first, "d": second, "e": second}


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'],
)
def test_a_broken_index_is_refused(tmp_path, content):
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(WeightsError, match="expected an index with a weight_map"):
        load_shards(tmp_path)


@pytest.mark.parametrize(
    "file", ["../secret.safetensors", "a/b.safetensors", "/x.safetensors", "model.bin", "", INDEX]
)
def test_an_index_leads_nowhere_else(tmp_path, file):
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(WeightsError, match=r"expected names of \.safetensors files"):
        load_shards(tmp_path)


def test_files_that_do_not_fit_the_index_are_refused(tmp_path):
    save_shards(tmp_path, TENSORS, 3 * BYTES)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["f"] = index["weight_map"].pop("e")
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="a difference in e, f; fetch both anew"):
        load_shards(tmp_path)


def test_an_absent_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_shards(tmp_path)
    save_shards(tmp_path, TENSORS, 3 * BYTES)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        load_shards(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.bin", "mymodel.safetensors", "model-1.py"])
def test_other_files_are_not_ours(name):
    assert not is_weights_file(name)


def test_files_of_an_index_may_have_any_name(tmp_path):
    save_shards(tmp_path, TENSORS, 3 * BYTES)
    text = (tmp_path / INDEX).read_text()
    (tmp_path / INDEX).write_text(text.replace('"model-', '"consolidated-'))
    for path in list(tmp_path.glob("model-*")):
        path.rename(tmp_path / path.name.replace("model-", "consolidated-"))
    assert_same(load_shards(tmp_path))


def test_a_single_file_with_a_number_is_the_model(tmp_path):
    save_shards(tmp_path, TENSORS)
    (tmp_path / "model.safetensors").rename(tmp_path / "model-00001-of-00001.safetensors")
    assert_same(load_shards(tmp_path))


def test_parts_without_their_index_are_named(tmp_path):
    save_shards(tmp_path, TENSORS, 3 * BYTES)
    (tmp_path / INDEX).unlink()
    with pytest.raises(WeightsError, match=r"expected model.safetensors.index.json beside model-0"):
        load_shards(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"expected model.safetensors.index.json beside model-0"):
        load_shards(tmp_path)


def test_a_pytorch_file_alone_is_named(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"found pytorch_model\.bin alone.*save_pretrained"):
        load_shards(tmp_path)


def test_no_weights_at_all_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected model\.safetensors, found nothing"):
        load_shards(tmp_path)
    (tmp_path / "x.gguf").touch()
    with pytest.raises(FileNotFoundError, match=r"found x\.gguf; fetch it, or name a \.gguf file"):
        load_shards(tmp_path)
