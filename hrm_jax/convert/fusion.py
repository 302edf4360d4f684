"""Matrices that some files hold as one and others in parts, stacked along their rows."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from hrm_jax.convert.gguf_blocks import StoredRows
from hrm_jax.convert.weights import Deferred, StateDict, Weights, WeightsError


@dataclasses.dataclass(frozen=True)
class Fusion:
    """One matrix and its parts, with their biases.

    Attributes:
      whole: name of the module that holds all, below its layer: `self_attn.qkv_proj`.
      parts: names of those that hold a part, in the order of the rows, each with its share of them.
    """

    whole: str
    parts: Mapping[str, int]


def fuse(state_dict: Weights, fusions: Sequence[Fusion]) -> dict[str, np.ndarray | Deferred]:
    """Returns weights with parts joined into wholes, when they are read.

    Wholes stay as they are, and so do parts of which one is missing.

    Raises:
      WeightsError: parts do not fit together.
    """
    fused = dict(state_dict)
    for fusion in fusions:
        first = next(iter(fusion.parts))
        # Only the first part is looked for, so that each group is joined once.
        for name in state_dict:
            if match := _match(first, name):
                names = [f"{match[1]}{part}.{match[2]}" for part in fusion.parts]
                if all(name in fused for name in names):
                    whole = f"{match[1]}{fusion.whole}.{match[2]}"
                    fused[whole] = _joined(whole, [fused.pop(name) for name in names])
    return fused


def split(state_dict: Mapping[str, np.ndarray], fusions: Sequence[Fusion]) -> StateDict:
    """Splits wholes into parts: the inverse of `fuse`."""
    found: StateDict = {}
    for name, array in state_dict.items():
        matches = ((fusion, _match(fusion.whole, name)) for fusion in fusions)
        fusion, match = next(((f, m) for f, m in matches if m), (None, None))
        if fusion is None or match is None:
            found[name] = array
            continue
        # Shares are in heads or in equal parts; the number of rows for each follows from the
        # matrix.
        shares = np.cumsum(list(fusion.parts.values()))
        borders = shares[:-1] * (len(array) // shares[-1])
        parts = zip(fusion.parts, np.split(array, borders), strict=True)
        found |= {f"{match[1]}{part}.{match[2]}": rows for part, rows in parts}
    return found


def _match(module: str, name: str) -> re.Match[str] | None:
    """Matches `name` as a leaf of `module`; the groups are the layer with its dot, and the leaf."""
    return re.fullmatch(rf"(.+\.){re.escape(module)}\.(weight|bias)", name)


def _joined(whole: str, parts: Sequence[np.ndarray | Deferred]) -> np.ndarray | Deferred:
    # A matrix of one part is only renamed.
    if len(parts) == 1:
        return parts[0]
    if len({part.shape[1:] for part in parts}) > 1:
        raise WeightsError(
            f"{whole}: expected parts of one width, found the shapes "
            f"{', '.join(str(part.shape) for part in parts)}; get the weights anew"
        )
    shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
    # Joined when it is read, so that the parts need not all be in memory.
    return Deferred(
        shape,
        parts[0].dtype,
        lambda: np.concatenate([np.asarray(p) for p in parts]),
        _stored(parts),
    )


def _stored(parts: Sequence[np.ndarray | Deferred]) -> tuple[StoredRows, ...]:
    """Returns the parts as they are stored, neighbours of one format joined; () if any is not."""
    stored = [part.stored if isinstance(part, Deferred) else () for part in parts]
    if not all(stored):
        return ()
    rows = itertools.chain.from_iterable(stored)
    runs = itertools.groupby(rows, key=lambda part: part.kind)
    return tuple(_one_of(kind, tuple(run)) for kind, run in runs)


def _one_of(kind: str, parts: Sequence[StoredRows]) -> StoredRows:
    return StoredRows(kind, lambda: np.concatenate([part.read() for part in parts]))
