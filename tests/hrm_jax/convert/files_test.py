"""State dicts in files."""

import builtins
import os
import pickle

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from hrm_jax.convert.files import load_state_dict, open_safetensors, save_state_dict
from hrm_jax.convert.weights import WeightsError

SPECIAL = np.array([0.0, -0.0, 1e-45, -3.4e38, np.inf, -np.inf, np.nan], np.float32)
TENSORS = {
    "special": SPECIAL,
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "integers": np.array([2**62, -1]),
}


def assert_same_bits(found, expected) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


@pytest.fixture
def without_torch(monkeypatch):
    real_import = builtins.__import__

    def refuse_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse_torch)


def test_safetensors_round_trip_keeps_every_bit(tmp_path, without_torch):
    save_state_dict(tmp_path / "weights.safetensors", TENSORS)
    assert_same_bits(load_state_dict(tmp_path / "weights.safetensors"), TENSORS)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.bin", "step_26040"])
def test_torch_round_trip_keeps_every_bit(tmp_path, name):
    pytest.importorskip("torch")
    save_state_dict(tmp_path / name, TENSORS)
    assert_same_bits(load_state_dict(tmp_path / name), TENSORS)


def test_names_can_bear_the_prefix_of_compiled_models(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_state_dict(path, {"a.b": SPECIAL}, compiled_prefix=True)
    assert load_state_dict(path).keys() == {"_orig_mod.a.b"}


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_narrow_floats_are_widened_exactly(tmp_path, dtype):
    patterns = np.arange(2**16, dtype=np.uint16).view(dtype)  # every number of the dtype
    save_state_dict(tmp_path / "weights.safetensors", {"H_init": patterns})
    found = load_state_dict(tmp_path / "weights.safetensors")["H_init"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, patterns.astype(np.float32))


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_torch_floats_are_widened_exactly(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    patterns = torch.arange(-(2**15), 2**15).to(torch.int16).view(getattr(torch, dtype))
    torch.save({"H_init": patterns}, tmp_path / "weights.pt")
    found = load_state_dict(tmp_path / "weights.pt")["H_init"]
    np.testing.assert_array_equal(found, patterns.double().numpy().astype(np.float32))


@pytest.mark.oracle
def test_bfloat16_arrays_are_written_to_a_pytorch_file(tmp_path):
    torch = pytest.importorskip("torch")
    values = np.arange(6).astype(ml_dtypes.bfloat16).reshape(2, 3)
    save_state_dict(tmp_path / "weights.pt", {"w": values})
    assert torch.load(tmp_path / "weights.pt")["w"].dtype == torch.bfloat16
    found = load_state_dict(tmp_path / "weights.pt")["w"]
    np.testing.assert_array_equal(found, values.astype(np.float32))


@pytest.mark.oracle
def test_trained_parameters_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.nn.Parameter(torch.ones(2))}, tmp_path / "weights.pt")
    assert_same_bits(load_state_dict(tmp_path / "weights.pt"), {"w": np.ones(2, np.float32)})


class Malicious:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.oracle
@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "bare_pickle"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    trace = tmp_path / "it_ran"
    path = tmp_path / "weights.pt"
    if legacy:
        path.write_bytes(pickle.dumps({"w": Malicious(trace)}, protocol=2))
    else:
        torch.save({"w": Malicious(trace)}, path)
    with pytest.raises(WeightsError, match="expected a PyTorch file of tensors alone, refused"):
        load_state_dict(path)
    assert not trace.exists()


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"w": 1}, "step": 3}, "model: expected a tensor, found dict"),
        ([1, 2], "expected a dict of tensors, found list"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, message):
    torch = pytest.importorskip("torch")
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match=message):
        load_state_dict(tmp_path / "weights.pt")


@pytest.mark.oracle
@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4 broken", b"\x80\2."], ids=["empty", "archive", "bare_pickle"]
)
def test_a_damaged_torch_file_is_refused(tmp_path, content):
    pytest.importorskip("torch")
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.pt: expected a PyTorch file"):
        load_state_dict(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    "content", [b"", b"\x10" + bytes(7) + b"{not json at all}"], ids=["empty", "header"]
)
def test_a_damaged_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / "weights.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.safetensors: expected a safetensors file"):
        load_state_dict(tmp_path / "weights.safetensors")


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"expected a file named .*, got \.npz"):
        load_state_dict(tmp_path / "weights.npz")
    with pytest.raises(WeightsError, match=r"expected a file named .*, got \.npz"):
        save_state_dict(tmp_path / "weights.npz", TENSORS)


def test_without_torch_the_extra_is_named(tmp_path, without_torch):
    with pytest.raises(FileNotFoundError, match=r"weights\.pt"):
        load_state_dict(tmp_path / "weights.pt")
    (tmp_path / "weights.pt").touch()
    with pytest.raises(WeightsError, match=r"pip install 'hrm-jax\[oracle\]'"):
        load_state_dict(tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match=r"pip install 'hrm-jax\[oracle\]'"):
        save_state_dict(tmp_path / "weights.pt", TENSORS)


def test_what_came_in_place_of_a_file_is_told(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs\noid sha256:0\n")
    with pytest.raises(WeightsError, match="got a pointer of Git LFS to it: fetch the file"):
        load_state_dict(path)


@pytest.mark.parametrize("suffix", ["safetensors", pytest.param("pt", marks=pytest.mark.oracle)])
def test_an_absent_file_or_folder_is_an_os_error(tmp_path, suffix):
    if suffix == "pt":
        pytest.importorskip("torch")
    with pytest.raises(FileNotFoundError):
        load_state_dict(tmp_path / f"absent.{suffix}")
    with pytest.raises(FileNotFoundError):
        save_state_dict(tmp_path / "absent" / f"weights.{suffix}", TENSORS)


def test_a_failed_save_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save_state_dict(path, {"w": SPECIAL})

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_state_dict(path, TENSORS)
    assert_same_bits(load_state_dict(path), {"w": SPECIAL})
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_tensors_are_read_one_by_one_as_they_are_all_at_once(tmp_path):
    path = tmp_path / "weights.safetensors"
    rng = np.random.default_rng(0)
    tensors = {
        "wide": rng.standard_normal((2, 3)).astype(np.float32),
        "narrow": rng.standard_normal(4).astype(ml_dtypes.bfloat16),
        "half": rng.standard_normal(4).astype(np.float16),
        "count": np.arange(3),
    }
    safetensors.numpy.save_file(tensors, path)
    found = open_safetensors(path)
    expected = load_state_dict(path)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert (array.shape, array.dtype) == (expected[name].shape, expected[name].dtype)
        np.testing.assert_array_equal(np.asarray(array), expected[name])


def test_a_damaged_file_is_noticed_when_it_is_opened(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_state_dict(path, {"a": np.ones((3, 3), np.float32)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="expected a safetensors file"):
        open_safetensors(path)
    with pytest.raises(FileNotFoundError):
        open_safetensors(tmp_path / "absent.safetensors")
