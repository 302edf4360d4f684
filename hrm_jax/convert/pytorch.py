"""Names and layouts: published PyTorch state dicts to our variables and back, bit for bit.

PyTorch keeps linear weights as [out, in], we as [in, out]; all other shapes are the same. A
parameter's published name depends on the model: `puzzle_name` is for HRM and TRM, whose names are
listed in `docs/weights.md`.
"""

import concurrent.futures
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

import jax
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray

from hrm_jax.convert.holding import compute_dtype, is_quantised, quantised_weights, resolved
from hrm_jax.convert.weights import Deferred, StateDict, Weights, WeightsError
from hrm_jax.core.types import Variables
from hrm_jax.nn.quantized import ExactScale, QuantizedWeights

Stored = TypeVar("Stored")
Naming: TypeAlias = Callable[[tuple[Any, ...]], tuple[str, bool]]
"""A function of a parameter's path to its published name, and whether its matrix is transposed."""

_MATRICES = ("kernel", "table")
"""Names of the leaves that `nn.product` multiplies or `nn.embedding` looks up."""
_SCALE = "scale"
_HEAD = "lm_head"
_DEPTHS = ("num_layers", "layers_per_stack", "H_layers", "L_layers")
"""Fields of configs that state a number of layers."""
_THREADS = 2
"""Tensors that are converted at the same time; each needs memory of its own meanwhile."""
_LAYER = re.compile(r"\blayers\.(\d+)\.")
COMPILED_PREFIX = "_orig_mod."  # torch.compile puts it before every name
# The published models are wrapped twice: by the loss (`model`), and by halting (`inner`).
INNER = "model.inner."
TABLE = INNER + "puzzle_emb.weights"


class Initialised(Protocol):
    """A model as `from_state_dict` needs it: a source of variables."""

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables."""
        ...


def puzzle_name(path: tuple[Any, ...]) -> tuple[str, bool]:
    """Returns a parameter's published name in HRM or TRM, and whether it is transposed."""
    *module, leaf = path
    if leaf == "table":
        return INNER + ".".join(map(str, [*module, "embedding_weight"])), False
    if leaf == "kernel":
        return INNER + ".".join(map(str, [*module, "weight"])), True
    return INNER + ".".join(map(str, path)), False


def text_name(path: tuple[Any, ...]) -> tuple[str, bool]:
    """Returns a parameter's published name in HRM-Text or Llama, and whether it is transposed."""
    *module, leaf = map(str, path)
    # transformers keeps the head beside the model, and everything else inside it.
    prefix = [] if module == ["lm_head"] else ["model"]
    name = "weight" if leaf in ("kernel", "table", "scale") else leaf
    return ".".join([*prefix, *module, name]), leaf == "kernel"


def to_state_dict(variables: Variables, naming: Naming = puzzle_name) -> StateDict:
    """Returns variables under published names, as NumPy arrays in their dtype.

    Raises:
      WeightsError: the variables are quantised.
    """
    state_dict = {}
    for values in (variables.params, variables.buffers):
        for path, leaf in nnx.to_flat_state(values):
            name, transpose = naming(path)
            if isinstance(leaf[...], QuantizedWeights):
                raise WeightsError(
                    f"{name} is held in a few bits, which no file here is written with: load the "
                    'model with dtype="float32" to save it'
                )
            array = np.asarray(leaf[...])
            # A transposed array is a view; files need the rows in order.
            state_dict[name] = np.ascontiguousarray(array.T) if transpose else array
    if variables.puzzle_rows is not None:
        state_dict[TABLE] = np.asarray(variables.puzzle_rows)
    return state_dict


def from_state_dict(
    model: Initialised,
    state_dict: Weights,
    naming: Naming = puzzle_name,
    dtype: str = "float32",
) -> Variables:
    """Returns published weights as variables of `model`.

    Args:
      model: says which tensors there must be, and their shapes.
      state_dict: float32 arrays by published name, with or without `_orig_mod.`; a deferred one is
        read when its turn comes.
      naming: of the model's parameters.
      dtype: to hold parameters and buffers in, one of `holding.HOLDINGS`.

    Returns:
      The variables; puzzle rows are float32.

    Raises:
      WeightsError: tensors are missing, left over, or of another shape or dtype than expected; the
        message lists each, with the expected and the found shape.
    """
    weights = without_compiled_prefix(state_dict)
    # Shapes alone: nothing is initialised, and everything is checked before the first tensor is
    # read.
    _check_depth(weights, model)
    expected = jax.eval_shape(model.init, jax.random.key(0))
    _check(weights, _expected_shapes(expected, naming))

    holding = resolved(dtype)

    def load(path, leaf: nnx.Variable) -> nnx.Variable:
        name, transpose = naming(path)
        if path[-1] in _MATRICES:
            is_table = path[-1] == "table" or path[0] == _HEAD
            stored = weights[name]
            # Rows are outputs: PyTorch's are, and those of a table.
            rows = stored if transpose or path[-1] == "table" else _turned(stored)
            quantised = quantised_weights(rows, holding, is_table=is_table)
            if quantised is not None:
                return leaf.replace(quantised)
        # Read only now, so that a model is never in memory twice.
        array = np.asarray(weights[name])
        values = _as_jax(array.T if transpose else array, compute_dtype(holding))
        # Of a quantised model, whose rows then do not depend on their neighbours.
        is_exact = path[-1] == _SCALE and is_quantised(holding)
        return leaf.replace(ExactScale(values) if is_exact else values)

    table = expected.puzzle_rows
    return Variables(
        params=_map_leaves(load, expected.params),
        buffers=_map_leaves(load, expected.buffers),
        puzzle_rows=None if table is None else _as_jax(weights[TABLE], "float32"),
    )


def without_compiled_prefix(state_dict: Mapping[str, Stored]) -> dict[str, Stored]:
    """Returns arrays under names without `_orig_mod.`.

    Raises:
      WeightsError: two names become one.
    """
    weights = {name.removeprefix(COMPILED_PREFIX): array for name, array in state_dict.items()}
    if len(weights) != len(state_dict):
        raise WeightsError(
            f"expected names with or without {COMPILED_PREFIX}, found some both ways; keep one"
        )
    return weights


def _turned(matrix: np.ndarray | Deferred) -> Deferred:
    """Returns the transpose of a matrix, not read yet."""
    return Deferred(matrix.shape[::-1], matrix.dtype, lambda: np.asarray(matrix).T)


def _as_jax(array: np.ndarray | Deferred, dtype: str) -> jax.Array:
    """Returns a copy on the default device, owned by JAX, in `dtype`."""
    # `asarray` may share memory with NumPy on CPU, and what JAX donates later must be its own.
    return jax.numpy.array(np.ascontiguousarray(array, jax.numpy.dtype(dtype)))


def _map_leaves(function: Callable, state: nnx.State) -> nnx.State:
    """Applies `function(path, variable)` to the variables of a state, some at a time."""
    # The largest come first, when little else is in memory yet.
    leaves = sorted(nnx.to_flat_state(state), key=lambda item: -math.prod(item[1].shape))
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        values = pool.map(lambda item: function(*item), leaves)
        return nnx.from_flat_state(
            [(path, value) for (path, _), value in zip(leaves, values, strict=True)]
        )


def _expected_shapes(variables: Variables, naming: Naming) -> dict[str, tuple[int, ...]]:
    """Returns the expected shapes by published name, from abstract variables."""
    shapes = {}
    for values in (variables.params, variables.buffers):
        for path, leaf in nnx.to_flat_state(values):
            name, transpose = naming(path)
            shapes[name] = leaf.shape[::-1] if transpose else leaf.shape
    if variables.puzzle_rows is not None:
        shapes[TABLE] = variables.puzzle_rows.shape
    return shapes


def _check_depth(weights: Weights, model: Any) -> None:
    """Refuses a config of more layers than there are, before a model of that depth is built."""
    numbers = (_LAYER.search(name) for name in weights)
    found = max((1 + int(number[1]) for number in numbers if number), default=0)
    config = getattr(model, "config", None)
    for field in _DEPTHS:
        stated = getattr(config, field, 0)
        # Not read where one level serves as both.
        if field == "H_layers" and getattr(config, "shared_level", False):
            continue
        if stated > found:
            raise WeightsError(
                f"the weights do not fit the config: expected {field}={stated}, found {found} "
                "layers; take the config.json that belongs to them"
            )


def _check(weights: Weights, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raises a WeightsError that lists everything that does not fit; reads no deferred tensor."""
    problems = [
        f"{name}: expected {expected[name]}, not found" for name in expected.keys() - weights
    ]
    problems += [
        f"{name}: not expected, found {weights[name].shape}" for name in weights.keys() - expected
    ]
    for name in expected.keys() & weights.keys():
        found = weights[name]
        if found.shape != expected[name]:
            problems.append(f"{name}: expected {expected[name]}, found {found.shape}")
        elif found.dtype != np.float32:
            problems.append(f"{name}: expected float32, found {found.dtype}")
    if problems:
        raise WeightsError(
            "the weights do not fit the config; change the config's fields to those the model was "
            "trained with:\n  " + "\n  ".join(sorted(problems))
        )
