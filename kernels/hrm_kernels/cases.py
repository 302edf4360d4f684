"""The cases that all implementations of attention share, and the comparison with float64.

Tests run it in interpreters; `python -m experiments.bench --suite=device` runs it on a device.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from hrm_kernels import reference, textbook
from hrm_kernels.attention import attention
from hrm_kernels.jax_versions import UNOPTIMISED
from hrm_kernels.mask import Mask
from hrm_kernels.operands import Rope, rotate

TIMES_XLA = 2.0
"""Root-mean-square error allowed, in errors of XLA's own attention on the same operands."""
FLOOR_ROUNDINGS = 0.5
FLOOR_ROUNDINGS_OF_FEW = 12
FEW = 16
"""Root-mean-square error allowed in any case, in epsilons, where XLA's happens to be near zero.

With few keys, XLA's gradient of the scores is often exactly zero, while the one from `out` and
`d_out` (FlashAttention's) is a difference of nearly equal numbers; with few queries, the mean is
taken over few numbers.
"""
TIMES_XLA_OF_TF32X3 = 8.0
"""TIMES_XLA for float32 in three TF32 products, which keep 22 of its 24 bits."""
TF32_EPS = 2.0**-10
TF32_ROUNDINGS = 4
"""Epsilon of TF32, and the root-mean-square error allowed, in such epsilons of the values'."""
LARGEST_ROUNDINGS = 16
LARGEST_ROUNDINGS_OF_FEW = 32
"""Largest error of an entry allowed, in epsilons of the largest entry.

With few keys, a gradient of the scores that is zero comes out as the rounding of a sum of K
products, which the gradient of the keys multiplies by a query: how much that is depends on the
order of the sum, so on the compiler (23 epsilons without its optimisations, 5 with them).
"""


Products = Literal["float32", "tf32", "tf32x3"]
"""How a device multiplies float32 operands."""


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of one call; `mask` is one of MASKS, `rope` whether queries and keys are rotated."""

    T: int
    S: int = 0  # T where 0
    N: int = 2
    M: int = 2
    K: int = 32
    dtype: str = "float32"
    mask: str = "full"
    B: int = 2
    rope: bool = False

    def __str__(self) -> str:
        sizes = f"B{self.B}-T{self.T}-S{self.keys}-N{self.N}-M{self.M}-K{self.K}"
        return f"{sizes}-{self.dtype}-{self.mask}{'-rope' if self.rope else ''}"

    @property
    def keys(self) -> int:
        """S."""
        return self.S or self.T


def _lengths(rng, B: int, S: int) -> jax.Array:
    """Returns valid lengths: one of a whole row and, of three rows or more, an empty one."""
    lengths = rng.integers(0, S + 1, B)
    lengths[0] = S
    lengths[1:2] = 0 if B > 2 else lengths[1:2]
    return jnp.asarray(lengths, jnp.int32)


def _segments(rng, B: int, S: int) -> jax.Array:
    """Returns segment ids in runs, most of them several tokens long."""
    begins = rng.random((B, S)) < min(1.0, 4 / S)
    return jnp.asarray(np.cumsum(begins, axis=1), jnp.int32)


def _packed_prefix(rng, B: int, S: int) -> Mask:
    """Returns packed segments, with prefixes; those of a row are equally long, below S / 8."""
    ids = np.asarray(_segments(rng, B, S))
    first = np.zeros_like(ids)
    for b in range(B):
        first[b] = np.searchsorted(ids[b], ids[b])
    marks = np.arange(S)[None] - first < rng.integers(0, max(2, S // 8), (B, 1))
    return Mask(prefix=jnp.asarray(marks), segment_ids=jnp.asarray(ids))


def make_mask(kind: str, rng: np.random.Generator, B: int, T: int, S: int) -> Mask:
    """Returns a random mask of a kind, for T queries that are the last of S tokens."""
    offset = S - T
    window = int(rng.integers(1, max(2, S // 2)))
    match kind:
        case "full":
            return Mask()
        case "causal":
            return Mask(causal=True, query_offset=offset)
        case "lengths":
            return Mask(lengths=_lengths(rng, B, S))
        case "causal_lengths":
            return Mask(causal=True, query_offset=offset, lengths=_lengths(rng, B, S))
        case "prefix":
            return Mask(prefix=_lengths(rng, B, S), query_offset=offset)
        case "window":
            return Mask(window=window, query_offset=offset)
        case "causal_window":
            return Mask(causal=True, window=window, query_offset=offset)
        case "segments":
            return Mask(segment_ids=_segments(rng, B, S), query_offset=offset)
        case "packed_prefix":
            return dataclasses.replace(_packed_prefix(rng, B, S), query_offset=offset)
        case "all":
            packed = _packed_prefix(rng, B, S)
            return dataclasses.replace(
                packed, window=window, lengths=_lengths(rng, B, S), query_offset=offset
            )
    raise ValueError(f"no such mask: {kind}")


MASKS = (
    "full",
    "causal",
    "lengths",
    "causal_lengths",
    "prefix",
    "window",
    "causal_window",
    "segments",
    "packed_prefix",
    "all",
)
DTYPES = ("float32", "bfloat16", "float16")
LENGTHS = (1, 7, 82, 97, 129, 513)
HEAD_SIZES = (16, 32, 64, 128)
HEADS = ((1, 1), (3, 3), (4, 2), (6, 1), (8, 8))
CASES = (
    *(Case(T, dtype=dtype) for T in LENGTHS for dtype in DTYPES),
    *(Case(T, mask=mask, B=3) for T in (7, 82, 129) for mask in MASKS if mask != "full"),
    *(Case(97, K=K, dtype=dtype, mask="causal") for K in HEAD_SIZES for dtype in DTYPES),
    *(Case(82, N=N, M=M, mask=mask) for N, M in HEADS for mask in ("full", "prefix")),
    *(Case(513, N=4, M=2, K=64, mask=mask, B=1) for mask in ("causal", "packed_prefix", "window")),
    *(Case(5, S=97, mask=mask) for mask in ("full", "causal", "lengths", "segments")),
    Case(129, S=257, N=4, M=1, K=64, mask="causal_window", dtype="bfloat16"),
    *(Case(82, K=K, dtype=dtype, rope=True) for K in (32, 64) for dtype in DTYPES),
    *(Case(97, N=4, M=2, K=64, mask=mask, rope=True) for mask in ("causal", "lengths")),
    Case(513, K=64, dtype="bfloat16", mask="causal", rope=True),
)
"""Lengths by dtype, masks by length, head sizes, grouped heads, T unlike S, rotation."""
NARROW_CASES = tuple(
    dict.fromkeys(
        dataclasses.replace(case, dtype="bfloat16") if case.dtype == "float32" else case
        for case in CASES
    )
)
"""The same in 16 bits, those of float32 in bfloat16, for kernels that take nothing else."""


@dataclasses.dataclass(frozen=True)
class Example:
    """The arrays of a case; `cotangents` are those of the values and the log-sum-exp.

    `rope` is None where the case has no rotation.
    """

    query: jax.Array
    key: jax.Array
    value: jax.Array
    mask: Mask
    cotangents: tuple[jax.Array, jax.Array]
    rope: Rope | None = None

    @property
    def operands(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Query, key and value."""
        return self.query, self.key, self.value


@functools.cache
def example(case: Case) -> Example:
    """Returns normal operands and cotangents, rounded to the dtype; equal for equal cases."""
    rng = np.random.default_rng([case.T, case.keys, case.N, case.K, len(case.mask)])
    queries = (case.B, case.T, case.N, case.K)
    keys = (case.B, case.keys, case.M, case.K)

    def normal(shape, dtype=case.dtype):
        return jnp.asarray(rng.standard_normal(shape), dtype)

    query = normal(queries)
    key = normal(keys)
    value = normal(keys)
    mask = make_mask(case.mask, rng, case.B, case.T, case.keys)
    cotangents = normal(queries), normal((case.B, case.N, case.T), "float32")
    rope = _tables(case) if case.rope else None
    return Example(query, key, value, mask, cotangents, rope)


def _tables(case: Case) -> Rope:
    """Returns rotary tables of base 10,000, float32."""
    frequencies = 1e4 ** -(np.arange(0, case.K, 2) / case.K)
    angles = np.tile(np.outer(np.arange(case.T), frequencies), 2)
    return Rope(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))


NAMES = ("out", "lse", "d_query", "d_key", "d_value")


def program(example: Example, **options: Any) -> Callable[[], dict[str, np.ndarray]]:
    """Compiles the entry point for an example, and returns a function that runs it.

    The function returns the values, the log-sum-exp and the gradients, by the names in `NAMES`.
    `options` is passed on to `attention`.
    """

    def run(operands, cotangents):
        function = functools.partial(
            attention, mask=example.mask, rope=example.rope, return_lse=True, **options
        )
        results, pullback = jax.vjp(function, *operands)
        return *results, *pullback(cotangents)

    lowered = jax.jit(run).lower(example.operands, example.cotangents)
    compiled = lowered.compile(UNOPTIMISED if options.get("interpret") else None)

    def call() -> dict[str, np.ndarray]:
        arrays = compiled(example.operands, example.cotangents)
        return {name: np.asarray(array) for name, array in zip(NAMES, arrays, strict=True)}

    return call


def compute(example: Example, **options: Any) -> dict[str, np.ndarray]:
    """Compiles and runs `program` once, and returns its results by name."""
    return program(example, **options)()


@functools.cache
def expected(case: Case) -> dict[str, np.ndarray]:
    """Returns the results that `compute` should have, by the float64 oracle."""
    data = example(case)
    query, key, value = (np.asarray(x, np.float64) for x in data.operands)
    if data.rope is not None:
        query = _rotate64(query, data.rope)
        key = _rotate64(key, data.rope)
    result = reference.attention(query, key, value, mask=data.mask)
    d_query, d_key, d_value = reference.gradients(
        query, key, value, *data.cotangents, mask=data.mask
    )
    if data.rope is not None:
        # A rotation's transpose is the rotation by the opposite angles.
        d_query = _rotate64(d_query, Rope(data.rope.cos, -data.rope.sin))
        d_key = _rotate64(d_key, Rope(data.rope.cos, -data.rope.sin))
    return dict(zip(NAMES, (result.out, result.lse, d_query, d_key, d_value), strict=True))


def _rotate64(x: np.ndarray, rope: Rope) -> np.ndarray:
    """Rotates [B, L, N, K] in float64."""
    first, second = np.split(x, 2, axis=-1)
    half_turned = np.concatenate([-second, first], axis=-1)
    cos = np.asarray(rope.cos, np.float64)[:, None]
    sin = np.asarray(rope.sin, np.float64)[:, None]
    return x * cos + half_turned * sin


@functools.cache
def xla_errors(case: Case) -> dict[str, float]:
    """Returns the root-mean-square errors of `textbook`, compiled by XLA for CPU, by name.

    Each is the largest over the orders of axes, and over `grouped_attention` where heads are
    grouped: on CPU they differ by a factor of up to 1.4, as sums are then made in another order.
    """
    data = example(case)
    exact = expected(case)
    pairs = reference.allowed(data.mask, case.B, case.T, case.keys)[:, None]

    formulations: list[Callable] = [
        functools.partial(textbook.attention, heads_first=first) for first in (False, True)
    ]
    if case.N != case.M:
        formulations.append(textbook.grouped_attention)

    @functools.partial(jax.jit, static_argnames="formulation", compiler_options=UNOPTIMISED)
    def run(operands, cotangents, formulation):
        def attend(query, key, value):
            query = rotate(query, data.rope)
            key = rotate(key, data.rope)
            return formulation(query, key, value, pairs=pairs)

        results, pullback = jax.vjp(attend, *operands)
        # The cotangent of a -inf log-sum-exp has no meaning; `Backward` ignores it as well.
        dead = ~pairs.any(-1)
        return *results, *pullback((cotangents[0], jnp.where(dead, 0, cotangents[1])))

    errors = []
    # Its products of float32 are exact on a CPU whatever the setting, and soon compiled: in a third
    # of the time by these options, for errors that differ by a hundredth.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        operands, cotangents = jax.tree.map(np.asarray, (data.operands, data.cotangents))
        for formulation in formulations:
            arrays = run(operands, cotangents, formulation)
            errors.append([rms(error(x, exact[k])) for k, x in zip(NAMES, arrays, strict=True)])
    return dict(zip(NAMES, map(max, *errors), strict=True))


def error(found, exact: np.ndarray) -> np.ndarray:
    """Returns the deviation from float64; infinite where only one of the two is finite."""
    found = np.asarray(found, np.float64)
    same = found == exact  # equal infinities, too
    with np.errstate(invalid="ignore"):
        deviation = np.where(same, 0, found - exact)
    return np.where(np.isfinite(deviation), deviation, np.inf)


def rms(values: np.ndarray) -> float:
    """Returns the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


@dataclasses.dataclass(frozen=True)
class Deviation:
    """How far a result is from float64, and how far it may be.

    Attributes:
      rms: root of the mean square of the error.
      allowed_rms: TIMES_XLA or more times XLA's, or the floor's epsilons of the values' own.
      largest: largest error of an entry.
      allowed_largest: LARGEST_ROUNDINGS or more epsilons of the largest entry.
    """

    rms: float
    allowed_rms: float
    largest: float
    allowed_largest: float

    @property
    def is_small(self) -> bool:
        """Whether both errors are within what is allowed; False for NaN."""
        return self.rms <= self.allowed_rms and self.largest <= self.allowed_largest


def deviations(
    case: Case,
    found: dict[str, np.ndarray],
    products: Products = "float32",
) -> dict[str, Deviation]:
    """Returns how far each result is from float64, and how far it may be.

    Args:
      case: the case.
      found: results of `compute`, by name.
      products: how float32 operands were multiplied. "tf32" is allowed TF32_ROUNDINGS of its own
        epsilons, "tf32x3" a larger multiple of `textbook`'s error.
    """
    result = {}
    times_xla = TIMES_XLA_OF_TF32X3 if products == "tf32x3" else TIMES_XLA
    for name, array in found.items():
        exact = expected(case)[name]
        # Scores are sums of products of the operands, exact in float32 unless these were rotated
        # and rounded again.
        dtype = "float32" if name == "lse" and not case.rope else case.dtype
        eps = float(jnp.finfo(dtype).eps)
        roundings = FLOOR_ROUNDINGS
        if products == "tf32" and case.dtype == "float32":
            eps = TF32_EPS
            roundings = TF32_ROUNDINGS
        deviation = error(array, exact)
        finite = np.where(np.isfinite(exact), exact, 0)
        few = min(case.T, case.keys) < FEW
        floor = FLOOR_ROUNDINGS_OF_FEW if few else roundings
        largest = LARGEST_ROUNDINGS_OF_FEW if few else LARGEST_ROUNDINGS
        result[name] = Deviation(
            rms=rms(deviation),
            allowed_rms=max(times_xla * xla_errors(case)[name], floor * eps * rms(finite)),
            largest=float(np.abs(deviation).max()),
            allowed_largest=largest * eps * max(1.0, np.abs(finite).max()),
        )
    return result


def check(case: Case, **options: Any) -> None:
    """Asserts that the entry point's results for a case are about as exact as `textbook`'s."""
    found = compute(example(case), **options)
    for name, deviation in deviations(case, found).items():
        assert found[name].dtype == ("float32" if name == "lse" else case.dtype), name
        assert found[name].shape == expected(case)[name].shape, name
        assert deviation.is_small, f"{name}: {deviation}"
