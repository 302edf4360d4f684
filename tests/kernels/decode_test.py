"""Decoding: token by token against the cache, the numbers of attention over the whole sequence."""

import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import cases, gpu_tiled, native, reference, xla_cached
from tests.kernels.paths import PATHS

B = 3
S = 70
N = 4
M = 2
K = 16
LENGTHS = (0, 37, 61)
"""Tokens of each row before the first step."""
PLAIN = "plain"
"""This machine's own path without kernels in C++."""


@pytest.fixture(autouse=True)
def several_splits(monkeypatch):
    """Keys split among programs, although there are few."""
    monkeypatch.setattr(gpu_tiled, "MIN_SPLIT", 16)
    monkeypatch.setattr(xla_cached, "BLOCK", 32)


@pytest.fixture(autouse=True)
def without_compiler(request, monkeypatch):
    """Tests of `PLAIN` run as on a machine where the kernels in C++ cannot be built."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("name") == PLAIN:
        monkeypatch.setattr(native, "refuses", lambda: "there is no compiler")


def options_of(name: str | None) -> dict:
    """How to ask for a path, or for this machine's own."""
    if name in (None, PLAIN):
        return {}
    return {"backend": name, "interpret": not name.startswith("xla")}


def decode(*operands, **options):
    """As a model decodes, in a compiled program."""
    return jax.jit(functools.partial(hrm_kernels.decode_attention, **options))(*operands)


def normal(seed: int, shape, dtype="float32"):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def filled(dtype="float32") -> hrm_kernels.KVCache:
    """A cache of LENGTHS tokens, with NaN in all the room that is left."""
    lengths = jnp.asarray(LENGTHS, jnp.int32)
    free = jnp.arange(S)[None, :, None] >= lengths[:, None, None]
    rows = (normal(seed, (B, S, M * K), dtype) for seed in (1, 2))
    return hrm_kernels.KVCache(*(jnp.where(free, jnp.nan, x) for x in rows), lengths)


def new_tokens(T: int, step: int = 0, dtype="float32"):
    shapes = (B, T, N, K), (B, T, M, K), (B, T, M, K)
    return [normal(10 * step + i, shape, dtype) for i, shape in enumerate(shapes, 3)]


def expected(query, cache: hrm_kernels.KVCache, before, window=None):
    """By the oracle, row by row, over the tokens that each row has."""
    found = []
    for b in range(B):
        keys, values = (
            np.asarray(x[b : b + 1, : cache.lengths[b]], np.float64).reshape(1, -1, M, K)
            for x in (cache.key, cache.value)
        )
        mask = hrm_kernels.Mask(causal=True, window=window, query_offset=int(before[b]))
        found.append(reference.attention(query[b : b + 1], keys, values, mask=mask).out)
    return np.concatenate(found)


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("name", [None, PLAIN, *PATHS])
def test_equals_attention_over_the_tokens_so_far(name, T, window):
    cache = filled()
    tokens = new_tokens(T)
    out, after = decode(*tokens, cache, window=window, **options_of(name))
    np.testing.assert_array_equal(after.lengths, np.asarray(LENGTHS) + T)
    np.testing.assert_allclose(out, expected(tokens[0], after, LENGTHS, window), atol=2e-6)


@pytest.mark.parametrize("name", [None, "xla_short", "tpu_tiled", "gpu_tiled"])
def test_narrow_dtypes_are_as_near_as_they_can_be(name):
    dtype = "bfloat16"
    tokens = new_tokens(1, dtype=dtype)
    out, after = decode(*tokens, filled(dtype), **options_of(name))
    assert out.dtype == dtype
    error = np.asarray(out, np.float64) - expected(tokens[0], after, LENGTHS)
    assert cases.rms(error) < 2 * float(jnp.finfo(dtype).eps) * cases.rms(out.astype("float32"))


@pytest.mark.parametrize("name", [None, PLAIN])
def test_token_by_token_equals_the_whole_sequence(name):
    """Twelve steps of one token, from an empty cache, in one compiled program."""
    steps = 12
    query, key, value = (normal(i, (B, steps, heads, K)) for i, heads in enumerate((N, M, M)))

    def step(cache, tokens):
        out, cache = hrm_kernels.decode_attention(*(x[:, None] for x in tokens), cache)
        return cache, out[:, 0]

    cache = hrm_kernels.KVCache.empty(B, S, M, K, "float32")
    by_step = [jnp.swapaxes(x, 0, 1) for x in (query, key, value)]
    cache, found = jax.lax.scan(step, cache, tuple(by_step))
    whole = reference.attention(query, key, value, mask=hrm_kernels.Mask(causal=True)).out
    np.testing.assert_allclose(np.swapaxes(found, 0, 1), whole, atol=2e-6)
    np.testing.assert_array_equal(cache.key[:, :steps], key.reshape(B, steps, -1))


@pytest.mark.parametrize("name", [None, PLAIN])
def test_only_the_new_tokens_are_written(name):
    cache = filled()
    tokens = new_tokens(2)
    _, after = decode(*tokens, cache)
    for held, before, new in zip(
        (after.key, after.value), (cache.key, cache.value), tokens[1:], strict=True
    ):
        for b, length in enumerate(LENGTHS):
            np.testing.assert_array_equal(held[b, length : length + 2], new[b].reshape(2, -1))
            old = np.delete(np.asarray(held[b]), range(length, length + 2), axis=0)
            same = np.delete(np.asarray(before[b]), range(length, length + 2), axis=0)
            np.testing.assert_array_equal(old, same)


@pytest.mark.parametrize("name", [None, PLAIN])
def test_a_full_row_keeps_what_it_has(name):
    cache = filled()
    tokens = new_tokens(4)
    cache = hrm_kernels.KVCache(cache.key, cache.value, jnp.asarray([0, 37, S - 1], jnp.int32))
    _, after = decode(*tokens, cache)
    np.testing.assert_array_equal(after.lengths, [4, 41, S])
    np.testing.assert_array_equal(after.key[2, S - 1], tokens[1][2, 0].reshape(-1))
    np.testing.assert_array_equal(after.key[2, : S - 1], cache.key[2, : S - 1])


@pytest.mark.parametrize("name", [None, PLAIN])
def test_a_donated_cache_is_updated_in_place(name):
    cache = hrm_kernels.KVCache.empty(1, 4096, M, K, "float32")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), cache)
    tokens = [jax.ShapeDtypeStruct((1, 1, heads, K), "float32") for heads in (N, M, M)]
    step = jax.jit(hrm_kernels.decode_attention, donate_argnames="cache")
    memory = step.lower(*tokens, cache=shapes).compile().memory_analysis()
    assert memory is not None
    assert memory.alias_size_in_bytes >= cache.key.nbytes + cache.value.nbytes
    assert memory.temp_size_in_bytes < cache.key.nbytes / 4  # nor is it copied to be read


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": (B, 1, N)}, r"expects query \[B, T, N, K\]"),
        ({"query": (B, 1, 3, K)}, "multiple of key heads"),
        ({"key": (B, 2, M, K)}, "equal in B, T and K"),
        ({"key": (B, 1, 1, K), "value": (B, 1, 1, K)}, r"a cache of \(3, 70, 16\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes, message):
    shapes = {"query": (B, 1, N, K), "key": (B, 1, M, K), "value": (B, 1, M, K)} | changes
    operands = [jnp.zeros(shape) for shape in shapes.values()]
    with pytest.raises(ValueError, match=message):
        hrm_kernels.decode_attention(*operands, hrm_kernels.KVCache.empty(B, S, M, K, "float32"))


def test_another_dtype_than_the_cache_is_refused():
    with pytest.raises(ValueError, match=r"one dtype .*'bfloat16', 'float32'.*make the cache"):
        hrm_kernels.decode_attention(*new_tokens(1), filled("bfloat16"))


def test_a_backend_that_cannot_serve_says_why():
    tokens = new_tokens(1, dtype="float16")
    cache = filled("float16")
    with pytest.raises(hrm_kernels.UnsupportedError, match="float16"):
        hrm_kernels.decode_attention(*tokens, cache, backend="tpu")


@pytest.mark.skipif(native.refuses() is not None, reason="no C++ compiler")
@pytest.mark.parametrize("window", [None, 5])
def test_a_token_gives_the_same_bits_however_it_comes(window):
    """Alone or beside other rows, at once with others or one by one."""
    cache = filled()
    tokens = new_tokens(9)
    whole, after = decode(*tokens, cache, window=window)
    for b in range(B):
        row = [x[b : b + 1] for x in tokens]
        alone = hrm_kernels.KVCache(
            *(x[b : b + 1] for x in (cache.key, cache.value)), cache.lengths[b : b + 1]
        )
        for begin, end in [(0, 1), (1, 4), (4, 9)]:
            out, alone = decode(*(x[:, begin:end] for x in row), alone, window=window)
            np.testing.assert_array_equal(out, whole[b : b + 1, begin:end])
        np.testing.assert_array_equal(alone.key[0], after.key[b])


@pytest.mark.parametrize("name", [None, PLAIN, "xla"])
def test_some_rows_go_on_without_the_others(name):
    """In any order; the rows that are left out stay as they are, to the bit."""
    options = options_of(name)
    cache = filled()
    whole, after = decode(*new_tokens(2), cache, **options)
    rows = jnp.array([2, 0], jnp.int32)
    some = hrm_kernels.KVCache(cache.key, cache.value, cache.lengths[rows], rows)
    out, left = decode(*(x[rows] for x in new_tokens(2)), some, **options)
    np.testing.assert_allclose(out, whole[rows], atol=1e-6)
    np.testing.assert_array_equal(left.lengths, after.lengths[rows])
    np.testing.assert_array_equal(left.rows, rows)
    for found, changed, before in (
        (left.key, after.key, cache.key),
        (left.value, after.value, cache.value),
    ):
        np.testing.assert_array_equal(found[rows], changed[rows])
        np.testing.assert_array_equal(found[1], before[1])


@pytest.mark.parametrize("S", [4, 33, 45, 67])
@pytest.mark.parametrize("K", [16, 48, 128])
@pytest.mark.parametrize(("N", "M"), [(7, 1), (6, 3), (2, 2)])
def test_sizes_of_models(N, M, K, S):
    """Groups of heads that do not fill a block, and caches that end within one."""
    query, key, value = (normal(i, (1, S, heads, K)) for i, heads in enumerate((N, M, M)))
    cache = hrm_kernels.KVCache.empty(1, S, M, K, "float32")
    out, _ = decode(query, key, value, cache)
    whole = reference.attention(query, key, value, mask=hrm_kernels.Mask(causal=True)).out
    np.testing.assert_allclose(out, whole, atol=3e-6)


@pytest.mark.parametrize(
    ("name", "backend", "path"),
    [(None, None, "native_cached"), (PLAIN, None, "xla_cached"), (None, "xla", "xla_short")],
)
def test_the_path_that_runs_is_logged(caplog, name, backend, path):
    if path == "native_cached" and native.refuses() is not None:
        pytest.skip("no C++ compiler")
    with caplog.at_level(logging.INFO, "hrm_kernels"):
        hrm_kernels.decode_attention(*new_tokens(1), filled(), backend=backend)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith(f"on {jax.default_backend()}: {path}")
