"""The command that converts weights, run as a user runs it."""

import json
import pathlib
import subprocess

import numpy as np
import pytest

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.model_folder import load_model
from hrm_jax.convert.published_config import from_published_config
from tests import commands

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "trm_attention_a.npz"


def convert(source, target, *flags: str) -> subprocess.CompletedProcess[str]:
    return commands.run("experiments.convert", f"--input={source}", f"--output={target}", *flags)


@pytest.fixture(scope="module")
def published() -> dict:
    """The original's config of the recorded model."""
    return json.loads(str(np.load(GOLDEN)["config"]))


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """The recorded model's weights, as a compiled original saves them."""
    arrays = np.load(GOLDEN)
    names = [name for name in arrays if name.startswith("init/")]
    return {f"_orig_mod.{name.removeprefix('init/')}": arrays[name] for name in names}


@pytest.fixture
def source(tmp_path, weights):
    save_state_dict(tmp_path / "step_1.safetensors", weights)
    return tmp_path / "step_1.safetensors"


@pytest.mark.parametrize("suffix", ["safetensors", pytest.param("pt", marks=pytest.mark.oracle)])
def test_there_and_back_is_exact(tmp_path, published, weights, suffix):
    if suffix == "pt":
        pytest.importorskip("torch")
    source = tmp_path / f"a.{suffix}"
    folder = tmp_path / "model"
    back = tmp_path / f"b.{suffix}"
    save_state_dict(source, weights)
    arch = tmp_path / "all_config.yaml"
    arch.write_text(json.dumps({"arch": published, "epochs": 10}))  # JSON is YAML

    there = convert(source, folder, f"--arch={arch}")
    assert there.returncode == 0, there.stderr
    size = sum(array.size for array in weights.values())
    assert f"{len(weights)} tensors, {size:,} parameters" in there.stdout
    assert load_model(folder)[0].config == from_published_config(published, shared_level=True)

    again = convert(folder, back, "--compiled_prefix")
    assert again.returncode == 0, again.stderr
    found = load_state_dict(back)
    assert found.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found[name], array)


def test_flags_give_what_the_shapes_do_not_tell(tmp_path, source):
    flags = ["--config.num_heads=2", "--config.puzzle_emb_len=4", "--config.seq_len=12"]
    result = convert(source, tmp_path / "model", *flags)
    assert result.returncode == 0, result.stderr
    rows = {}
    for line in result.stdout.splitlines():
        cells = [cell.strip() for cell in line.split("│")]
        if len(cells) == 5:
            rows[cells[1]] = tuple(cells[2:4])
    assert rows["hidden_size"] == ("32", "the shapes")
    assert rows["num_heads"] == ("2", "--config")
    assert rows["H_cycles"] == ("3", "assumed: the default")


@pytest.mark.parametrize(
    "arch",
    [
        {"arch": {"desc": None, "value": {"H_cycles": 3, "num_heads": 2}}, "lr": {"value": 1e-4}},
        {"H_cycles": {"desc": None, "value": 3}, "num_heads": {"value": 2}},
    ],
)
def test_a_config_of_weights_and_biases_is_unwrapped(tmp_path, source, arch):
    (tmp_path / "config.yaml").write_text(json.dumps(arch))
    result = convert(source, tmp_path / "model", f"--arch={tmp_path / 'config.yaml'}")
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["H_cycles"], config["num_heads"]) == (3, 2)


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("arch", "flag", "message"),
    [
        (
            {"H_cycles": 3},
            "--config.vocab_size=12",
            "lm_head.weight: expected (12, 32), found (11, 32)",
        ),
        (
            {"H_cycles": 3},
            "--config.num_heads=3",
            "num_heads: expected a divisor of hidden_size=32, got 3",
        ),
        ({"num_heads": "${.x}", "L_cycles": "6"}, "", "L_cycles: expected int, got '6'"),
        ([], "", "--arch: expected fields in"),
        ({"arch": 3}, "", "--arch: expected fields in arch of"),
        (
            {"lr": 1e-4, "epochs": 10},
            "",
            "--arch: expected fields such as hidden_size and H_cycles",
        ),
        ({}, "", "--arch: expected fields such as hidden_size and H_cycles"),
    ],
    ids=["weights", "config", "arch", "list", "number", "others", "empty"],
)
def test_what_does_not_fit_is_named_without_traceback(tmp_path, source, arch, flag, message):
    (tmp_path / "arch.json").write_text(json.dumps(arch))
    flags = [f"--arch={tmp_path / 'arch.json'}", *([flag] if flag else [])]
    result = convert(source, tmp_path / "model", *flags)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "model").exists()


def test_an_absent_input_is_named(tmp_path):
    result = convert(tmp_path / "absent.safetensors", tmp_path / "model")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "absent.safetensors" in result.stderr
