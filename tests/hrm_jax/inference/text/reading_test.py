"""Reading prompts: a prefix that is known is not read again, and changes no bit."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrm_kernels
from hrm_jax.convert.llama import llama_variables, llama_weights
from hrm_jax.core.config import ConfigError
from hrm_jax.inference.text import reading
from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text.buckets import bucket
from hrm_jax.inference.text.prefixes import common
from hrm_jax.inference.text.reading import CHUNKS, PromptReader, chunk_of, unchanged
from hrm_jax.models.llama import Llama, LlamaConfig

MODEL = Llama(
    LlamaConfig(
        vocab_size=64,
        hidden_size=96,  # of such sizes XLA sums few and many rows in different orders
        num_layers=2,
        num_heads=4,
        num_key_heads=2,
        head_size=16,
        mlp_width=32,
    )
)
FLOATS = jax.jit(MODEL.init)(jax.random.key(0))
VARIABLES = llama_variables(MODEL, llama_weights(MODEL.config, FLOATS), "int8")
PREFILL = jax.jit(MODEL.prefill, static_argnames="room")
ROOM = 128
TEXT = np.random.default_rng(0).integers(0, 64, 100).tolist()
needs_kernel = pytest.mark.skipif(not hrm_kernels.rows_are_independent(), reason="no C++ compiler")


def reader(variables=VARIABLES, model=MODEL, **settings) -> PromptReader:
    return PromptReader(model, variables, prompts_are_prefixes=False, **settings)


@pytest.fixture
def sizes(monkeypatch):
    """The chunks that are read, in their order."""
    read = []
    extend = device.extend

    def noted(model, variables, tokens, cache, counts):
        read.append((tokens.shape[1], int(counts[0])))
        return extend(model, variables, tokens, cache, counts)

    monkeypatch.setattr(reading.device, "extend", noted)
    return read


def assert_same(found, expected, length):
    assert_near(found, expected, length, atol=0)


def assert_near(found, expected, length, atol):
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=atol)
    np.testing.assert_array_equal(found[1].lengths, [length])
    for a, b in zip(
        jax.tree.leaves(found[1].calls), jax.tree.leaves(expected[1].calls), strict=True
    ):
        np.testing.assert_allclose(a[:, :length], b[:, :length], rtol=0, atol=atol)


@needs_kernel
def test_reading_in_chunks_is_reading_at_once(sizes):
    logits, cache = reader().read(TEXT, ROOM)
    assert sizes == [(64, 64), (16, 16), (16, 16), (8, 4)]
    whole, whole_cache = PREFILL(VARIABLES, np.array([TEXT]), room=ROOM)
    np.testing.assert_allclose(logits, whole, atol=1e-5)
    np.testing.assert_array_equal(cache.lengths, whole_cache.lengths)


@needs_kernel
@pytest.mark.parametrize("shared", [1, 16, 63, 99])
def test_a_known_prefix_is_not_read_again(sizes, shared):
    ours = reader()
    ours.read(TEXT[:shared] + [1] * 20, ROOM)
    sizes.clear()
    # A copy, as the next call may donate the cache.
    other = [*TEXT[:shared], 2, *TEXT[shared + 1 :]]
    found = jax.tree.map(np.array, ours.read(other, ROOM))
    assert sum(count for _, count in sizes) == len(other) - shared
    assert_same(found, reader().read(other, ROOM), len(other))


@needs_kernel
def test_an_equal_prompt_is_not_read_at_all(sizes):
    ours = reader()
    first = ours.read(TEXT, ROOM)
    sizes.clear()
    assert ours.read(list(TEXT), ROOM)[1] is first[1]
    assert not sizes
    # A prompt that the last one begins with lacks its logits: one token is read.
    short = jax.tree.map(np.array, ours.read(TEXT[:50], ROOM))
    assert sizes == [(8, 1)]
    assert_same(short, reader().read(TEXT[:50], ROOM), 50)


@needs_kernel
def test_another_room_is_another_cache(sizes):
    ours = reader()
    ours.read(TEXT, ROOM)
    sizes.clear()
    _, cache = ours.read(TEXT, 2 * ROOM)
    assert cache.room == 2 * ROOM
    assert sum(count for _, count in sizes) == len(TEXT)


@needs_kernel
def test_several_prompts_are_known(sizes):
    """Two files are edited in turns: of each only what is new is read."""
    ours = reader()
    other = [5, *TEXT[1:]]
    for text in (TEXT, other):
        ours.read(text[:90], ROOM)
    sizes.clear()
    for text in (TEXT, other):
        found = jax.tree.map(np.array, ours.read(text, ROOM))
        assert_same(found, reader().read(text, ROOM), len(text))
    assert [count for _, count in sizes if count == 10] == [10, 10]


@needs_kernel
@pytest.mark.parametrize("inserted", [0, 3, 20])
def test_what_stands_behind_a_change_is_reused_if_asked(sizes, inserted):
    """A token that sees eight others is the same behind a change, but for its place."""
    model = Llama(dataclasses.replace(MODEL.config, window=8))
    behind = TEXT[::-1] * 2
    before = [*TEXT, 4, 5, *behind]
    after = [*TEXT, *range(inserted), *behind]
    ours = reader(model=model, reuse_shifted=True)
    ours.read(before, 4 * ROOM)
    sizes.clear()
    found = jax.tree.map(np.array, ours.read(after, 4 * ROOM))
    assert sizes == [(64, 64), (16, 16)]
    expected = reader(model=model).read(after, 4 * ROOM)
    assert_near(found, expected, len(after), atol=0.01)


@needs_kernel
def test_little_behind_a_change_is_read_again(sizes):
    ours = reader(reuse_shifted=True)
    ours.read(TEXT, ROOM)
    other = [*TEXT[:30], 7, *TEXT[31:]]
    found = jax.tree.map(np.array, ours.read(other, ROOM))
    assert_same(found, reader().read(other, ROOM), len(other))


@settings(deadline=None)
@given(st.data())
def test_the_reused_part_is_in_both_prompts(data):
    some = st.lists(st.integers(0, 2), max_size=30)
    known = data.draw(some)
    tokens = data.draw(some) + data.draw(st.sampled_from([known, known[5:], []])) + [1]
    shared = common(known, tokens[:-1])
    begin, end = unchanged(known, tokens, shared)
    if begin < end:
        by = len(tokens) - len(known)
        assert tokens[begin:end] == known[begin - by : end - by]
        # Something is read between what is known and the part, and after it.
        assert shared < begin
        assert end < len(tokens)


def test_prompts_that_are_read_whole_reuse_nothing():
    with pytest.raises(
        ConfigError, match=r"reuse_shifted: expected prompts that are read in parts"
    ):
        reader(FLOATS, reuse_shifted=True)


@needs_kernel
def test_what_follows_does_not_depend_on_neighbours():
    """Tokens decoded alone have the bits of those decoded beside other rows."""
    _, cache = PREFILL(VARIABLES, np.array([TEXT] * 5), room=ROOM)
    together, _ = jax.jit(MODEL.decode)(VARIABLES, np.full((5, 1), 3, np.int32), cache)
    _, cache = PREFILL(VARIABLES, np.array([TEXT] * 5), room=ROOM)
    first = jax.tree.map(lambda leaf: leaf[:1], cache)
    alone, _ = jax.jit(MODEL.decode)(VARIABLES, np.full((1, 1), 3, np.int32), first)
    np.testing.assert_array_equal(together[:1], alone)


@pytest.mark.parametrize("variables", [FLOATS, VARIABLES])
def test_where_bits_depend_on_sizes_prompts_are_read_whole(monkeypatch, sizes, variables):
    monkeypatch.setattr(hrm_kernels, "rows_are_independent", lambda: False)
    ours = reader(variables)
    ours.read(TEXT[:50], ROOM)
    logits, cache = ours.read(TEXT, ROOM)
    assert not sizes
    whole, _ = PREFILL(variables, np.array([TEXT]), room=ROOM)
    np.testing.assert_allclose(logits, whole, atol=1e-5)
    assert int(cache.lengths[0]) == len(TEXT)


def test_chunks_fill_what_is_left():
    chunks = {1: 8, 8: 8, 9: 16, 16: 16, 17: 16, 63: 16, 64: 64, 511: 64, 512: 512, 9999: 512}
    assert {length: chunk_of(length) for length in chunks} == chunks
    assert sorted(CHUNKS, reverse=True) == list(CHUNKS)


@needs_kernel
def test_a_prompt_of_the_usual_length_is_read_by_all_programs(sizes):
    ours = reader()
    [length] = ours.usual_lengths(1000)
    tokens = (TEXT * 10)[:length]
    ours.read(tokens, 1024)
    assert {size for size, _ in sizes} == set(CHUNKS)
    assert ours.usual_lengths(100) == [100]


def test_prompts_of_usual_lengths_have_all_buckets(monkeypatch):
    monkeypatch.setattr(hrm_kernels, "rows_are_independent", lambda: False)
    ours = reader()
    for most in (1, 32, 100, 600):
        lengths = ours.usual_lengths(most)
        buckets = [bucket(length) for length in lengths]
        assert max(lengths) == most
        assert buckets == sorted({bucket(length) for length in range(1, most + 1)})
