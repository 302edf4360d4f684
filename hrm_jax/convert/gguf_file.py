"""GGUF files: metadata, and tensors that are widened to float32 when they are read.

The format and all quantisations are those of llama.cpp, read by its own package `gguf` (extra
`foundation`).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_jax.convert.gguf_blocks import KINDS, StoredRows
from hrm_jax.convert.gguf_header import check_header
from hrm_jax.convert.weights import Deferred, WeightsError
from hrm_jax.core.config import ConfigError


class GgufFile:
    """An open GGUF file, mapped into memory."""

    def __init__(self, path: str | os.PathLike[str]):
        """Reads the metadata.

        Raises:
          WeightsError: it is not a GGUF file, is cut off, or is one of several that hold a model;
            or the package `gguf` is not installed.
          OSError: it cannot be read.
        """
        gguf = _import_gguf()
        self.path = Path(path)
        check_header(self.path)
        try:
            self._reader = gguf.GGUFReader(path)
        except OSError:
            raise
        # A damaged file leads the library astray in many ways.
        except Exception as error:
            raise WeightsError(
                f"{path}: expected a GGUF file, got {error!r}; fetch it anew"
            ) from error
        self.architecture: str = self.get("general.architecture")
        if (files := self.get("split.count", 1)) > 1:
            raise WeightsError(
                f"{path}: expected a whole model, got one of {files} files; join them with "
                "llama-gguf-split --merge"
            )
        self.tensors: dict[str, Deferred] = {}
        # Tensors are dequantised one at a time, when they are read: all at once take several times
        # the size of the file.
        for tensor in self._reader.tensors:
            self.tensors[tensor.name] = self._deferred(tensor)

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the metadata value under a full name, or `default`.

        Raises:
          ConfigError: it is absent, and there is no default.
        """
        field = self._reader.get_field(name)
        if field is not None:
            return self._contents(name, field)
        if default is None:
            raise ConfigError(name, f"expected a value, got nothing in {self.path}; fetch it anew")
        return default

    def _contents(self, name: str, field: Any) -> Any:
        try:
            return field.contents()
        except UnicodeDecodeError as error:
            raise ConfigError(name, f"expected UTF-8 in {self.path}, got {error}") from error

    def of_model(self, name: str, default: Any = None) -> Any:
        """Returns the metadata value `<architecture>.<name>`, or `default`.

        Raises:
          ConfigError: it is absent, and there is no default.
        """
        return self.get(f"{self.architecture}.{name}", default)

    @property
    def keys(self) -> list[str]:
        """The full names of all metadata."""
        return list(self._reader.fields)

    def has(self, name: str) -> bool:
        """Returns whether the metadata has a value under a full name."""
        return self._reader.get_field(name) is not None

    def _deferred(self, tensor: Any) -> Deferred:
        def read() -> np.ndarray:
            from gguf import quants

            try:
                return np.asarray(quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
            except NotImplementedError as error:
                raise WeightsError(
                    f"{self.path}: {tensor.name} is stored as {tensor.tensor_type.name}, which "
                    "cannot be read; take a file in F16, Q8_0 or another common type"
                ) from error

        # ggml counts axes from the fastest one.
        shape = tuple(int(size) for size in reversed(tensor.shape))
        def read_stored() -> np.ndarray:
            # Read and not mapped: pages of a mapped file would count as this process's memory.
            offset = int(tensor.data_offset)
            data = np.fromfile(self.path, np.uint8, int(tensor.n_bytes), offset=offset)
            return data.reshape(shape[0], -1)

        kind = tensor.tensor_type.name
        stored = (StoredRows(kind, read_stored),) if kind in KINDS and len(shape) == 2 else ()
        return Deferred(shape, np.dtype(np.float32), read, stored)


def renamed(
    tensors: Mapping[str, Deferred], names: Mapping[str, str], layer_names: Mapping[str, str]
) -> dict[str, Deferred]:
    """Returns tensors under transformers' names, not read yet.

    Args:
      tensors: by llama.cpp's names.
      names: theirs to transformers', of what is not in a layer.
      layer_names: likewise of modules in a layer, without `blk.0.` and `model.layers.0.`.

    Raises:
      WeightsError: a tensor has a name that is in neither.
    """
    found = {}
    for name, tensor in tensors.items():
        if name in names:
            found[names[name]] = tensor
            continue
        # "blk.3.attn_q.weight" has the block "3", the module "attn_q" and the leaf "weight".
        block, _, rest = name.removeprefix("blk.").partition(".")
        module, _, leaf = rest.rpartition(".")
        if module not in layer_names or not block.isdecimal() or leaf not in ("weight", "bias"):
            raise WeightsError(f"{name}: a tensor that no model here has; it is not implemented")
        found[f"model.layers.{block}.{layer_names[module]}.{leaf}"] = tensor
    return found


def _import_gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise WeightsError(
            "reading GGUF files needs the package gguf: pip install 'hrm-jax[foundation]'"
        ) from error
    return gguf
