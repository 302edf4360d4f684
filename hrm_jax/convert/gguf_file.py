"""GGUF files: metadata, and tensors that are widened to float32 when they are read.

The quantisations are those of llama.cpp, widened by its own package `gguf` (extra `foundation`).
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_jax.convert.gguf_blocks import KINDS, StoredRows
from hrm_jax.convert.gguf_header import Tensor, read_header
from hrm_jax.convert.weights import Deferred, WeightsError
from hrm_jax.core.config import ConfigError


class GgufFile:
    """A GGUF file, of which tensors are read when they are asked for."""

    def __init__(self, path: str | os.PathLike[str]):
        """Reads the metadata.

        Raises:
          WeightsError: it is not a GGUF file, is cut off, or is one of several that hold a model;
            or the package `gguf` is not installed.
          OSError: it cannot be read.
        """
        self.path = Path(path)
        self._header = read_header(self.path)
        self.architecture: str = self.get("general.architecture")
        if (files := self.get("split.count", 1)) > 1:
            raise WeightsError(
                f"{path}: expected a whole model, got one of {files} files; join them with "
                "llama-gguf-split --merge"
            )
        tensors = self._header.tensors
        self.tensors: dict[str, Deferred] = {
            name: self._deferred(name, tensor) for name, tensor in tensors.items()
        }

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the metadata value under a full name, or `default`.

        Raises:
          ConfigError: it is absent, and there is no default; or it is not UTF-8.
        """
        if self.has(name):
            try:
                return _decoded(self._header.values[name])
            except UnicodeDecodeError as error:
                raise ConfigError(name, f"expected UTF-8 in {self.path}, got {error}") from error
        if default is None:
            raise ConfigError(name, f"expected a value, got nothing in {self.path}; fetch it anew")
        return default

    def of_model(self, name: str, default: Any = None) -> Any:
        """Returns the metadata value `<architecture>.<name>`, or `default`.

        Raises:
          ConfigError: it is absent, and there is no default.
        """
        return self.get(f"{self.architecture}.{name}", default)

    @property
    def keys(self) -> list[str]:
        """The full names of all metadata."""
        return list(self._header.values)

    def has(self, name: str) -> bool:
        """Returns whether the metadata has a value under a full name."""
        return name in self._header.values

    def _deferred(self, name: str, tensor: Tensor) -> Deferred:
        gguf = _import_gguf()
        shape = tensor.shape
        try:
            kind = gguf.GGMLQuantizationType(tensor.kind)
        except ValueError as error:
            raise WeightsError(
                f"{self.path}: {name} has a type of number {tensor.kind}, which is none that the "
                "package gguf knows; fetch the file anew, or a newer package"
            ) from error
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        width = shape[-1] if shape else 1
        count = math.prod(shape) // elements * size
        # Looked at now, so that a file that is cut off is refused before anything is read.
        if width % elements or tensor.offset + count > self._header.size:
            raise WeightsError(
                f"{self.path}: expected a GGUF file, got one that is damaged or cut off ({name} "
                f"{shape} does not fit into it); fetch it anew"
            )

        def read_stored() -> np.ndarray:
            # Read and not mapped: pages of a mapped file would count as this process's memory.
            data = np.fromfile(self.path, np.uint8, count, offset=tensor.offset)
            return data.reshape(*shape[:-1], width // elements * size)

        def read() -> np.ndarray:
            from gguf import quants

            try:
                widened = quants.dequantize(read_stored(), kind)
            except NotImplementedError as error:
                raise WeightsError(
                    f"{self.path}: {name} is stored as {kind.name}, which "
                    "cannot be read; take a file in F16, Q8_0 or another common type"
                ) from error
            return np.asarray(widened, np.float32).reshape(shape)

        # Only matrices are multiplied as they are stored; all else is widened.
        is_quantised = kind.name in KINDS and len(shape) == 2
        stored = (StoredRows(kind.name, read_stored),) if is_quantised else ()
        return Deferred(shape, np.dtype(np.float32), read, stored)


def _decoded(value: Any) -> Any:
    """Returns a value of the header with texts in place of bytes."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return value


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
