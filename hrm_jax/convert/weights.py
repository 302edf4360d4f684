"""Types of weights: arrays by published name, as files hold them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from hrm_jax.convert.gguf_blocks import StoredRows
from hrm_jax.core.errors import UserError


class WeightsError(UserError, ValueError):
    """Weights are damaged, absent, or do not fit the config they are loaded with."""


@dataclasses.dataclass(frozen=True)
class Deferred:
    """An array that is read when NumPy asks for it, and not kept.

    Attributes:
      shape: of the array.
      dtype: of the array.
      read: returns the array; may be called several times.
      stored: its rows from the first to the last as the file has them, where they are quantised.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    stored: tuple[StoredRows, ...] = ()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns a new array, for `numpy.asarray`."""
        return np.asarray(self.read(), dtype)


StateDict = dict[str, np.ndarray]
Weights: TypeAlias = Mapping[str, np.ndarray | Deferred]
"""Arrays by published name, some of which may not be read yet."""
