"""State dicts in files: `.safetensors`, and PyTorch's own format where PyTorch is installed.

PyTorch files are pickles. They are loaded with `weights_only=True`, which builds tensors and
containers and nothing else, so that a file of unknown origin cannot run code.
"""

import contextlib
import os
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from hrm_jax.convert.pytorch import COMPILED_PREFIX
from hrm_jax.convert.weights import Deferred, StateDict, WeightsError
from hrm_jax.core.files import sync_folder, what_came

_FLOATS = ("F32", "BF16", "F16")  # those that are read as float32
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", "")  # the originals save as `step_1234` or `checkpoint`


def load_state_dict(path: str | os.PathLike[str]) -> StateDict:
    """Reads the tensors of a file, under the names they have there.

    Tensors narrower than float32 are widened to it, which is exact: the originals keep `H_init`
    and `L_init` in their compute dtype, bfloat16, and all else in float32. Others stay as they are.

    Args:
      path: `.safetensors`; or `.pt`, `.pth`, `.bin` or no suffix for a PyTorch file.

    Raises:
      WeightsError: the file is damaged, holds something besides tensors, or has another suffix;
        or it is a PyTorch file and PyTorch is not installed.
      OSError: the file cannot be read.
    """
    path = Path(path)
    is_safetensors = _is_safetensors(path)
    path.stat()  # a file that is not there needs no PyTorch to say so
    if is_safetensors:
        try:
            loaded = safetensors.numpy.load_file(path)
        except safetensors.SafetensorError as error:
            raise _damaged(path, error) from error
    else:
        loaded = _load_torch(path)
    return {name: _widened(array) for name, array in loaded.items()}


def open_safetensors(path: Path) -> dict[str, np.ndarray | Deferred]:
    """Returns the tensors of a `.safetensors` file, as `load_state_dict` does, but read one by one.

    Floats are `Deferred`: a tensor is read when it is asked for. The file stays mapped into memory
    until the last of them is released; it must not change until then.

    Raises:
      WeightsError: the file is damaged.
      OSError: it cannot be read.
    """
    try:
        file = safetensors.safe_open(path, framework="numpy")
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from error

    def tensor(name: str) -> np.ndarray | Deferred:
        # A slice knows dtype and shape without reading the tensor. Only floats may have to be
        # widened; all else is read at once.
        part = file.get_slice(name)
        if part.get_dtype() not in _FLOATS:
            return file.get_tensor(name)
        shape = tuple(part.get_shape())
        return Deferred(shape, np.dtype(np.float32), lambda: _widened(file.get_tensor(name)))

    return {name: tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping


def save_state_dict(
    path: str | os.PathLike[str],
    state_dict: Mapping[str, np.ndarray],
    compiled_prefix: bool = False,
) -> None:
    """Writes tensors to a file, bit for bit: a reader sees the old file or the whole new one.

    Args:
      path: its suffix chooses the format, as in `load_state_dict`.
      state_dict: arrays by name.
      compiled_prefix: put `_orig_mod.` before every name, as a model under `torch.compile` has it.

    Raises:
      WeightsError: the suffix is unknown, or asks for PyTorch where it is not installed.
      OSError: the file cannot be written.
    """
    path = Path(path)
    prefix = COMPILED_PREFIX if compiled_prefix else ""
    # safetensors writes the buffer as it lies in memory, so arrays must be contiguous, rows first.
    arrays = {prefix + name: np.asarray(array, order="C") for name, array in state_dict.items()}
    if _is_safetensors(path):
        with _replacing(path) as file:
            file.write(safetensors.numpy.save(arrays))
    else:
        torch = _import_torch(path)
        with _replacing(path) as file:
            torch.save({name: _to_torch(torch, array) for name, array in arrays.items()}, file)


def _to_torch(torch: types.ModuleType, array: np.ndarray) -> Any:
    if array.dtype != jnp.bfloat16:
        return torch.tensor(array)
    # PyTorch does not know the bfloat16 that NumPy has from `ml_dtypes`: its bits are handed over.
    return torch.tensor(array.view(np.int16)).view(torch.bfloat16)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file beside `path` and renames it to `path` if the block ends without an error."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            # The content must be on disk before the name is: a crash after the rename would
            # otherwise leave a file without content.
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _damaged(path: Path, error: Exception) -> WeightsError:
    with open(path, "rb") as file:
        came = what_came(file.read(64), f"{error}; fetch it anew")
    return WeightsError(f"{path}: expected a safetensors file, got {came}")


def _is_safetensors(path: Path) -> bool:
    if path.suffix not in (".safetensors", *_TORCH_SUFFIXES):
        raise WeightsError(
            f"{path}: expected a file named .safetensors, .pt, .pth, .bin or without suffix, "
            f"got {path.suffix}; rename it to say what it holds"
        )
    return path.suffix == ".safetensors"


def _import_torch(path: Path) -> types.ModuleType:
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{path} is a PyTorch file, and PyTorch is not installed: "
            "pip install 'hrm-jax[oracle]', or use a .safetensors file"
        ) from error
    return torch


def _load_torch(path: Path) -> StateDict:
    torch = _import_torch(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    # `OSError` is let through before the clause below turns everything else into one error.
    except OSError:
        raise
    except Exception as error:  # a damaged pickle fails anywhere in PyTorch's reader
        raise WeightsError(
            f"{path}: expected a PyTorch file of tensors alone, refused because {error}"
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path}: expected a dict of tensors, found {type(loaded).__name__}")
    return {name: _from_torch(torch, f"{path}: {name}", value) for name, value in loaded.items()}


def _from_torch(torch: Any, where: str, tensor: Any) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor):
        raise WeightsError(f"{where}: expected a tensor, found {type(tensor).__name__}")
    narrow = tensor.is_floating_point() and tensor.itemsize < 4  # NumPy has no bfloat16 of its own
    return (tensor.float() if narrow else tensor).detach().numpy()


def _widened(array: np.ndarray) -> np.ndarray:
    narrow = jnp.issubdtype(array.dtype, jnp.floating) and array.itemsize < 4
    return array.astype(np.float32) if narrow else array
