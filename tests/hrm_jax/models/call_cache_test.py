"""The cache as a value; `hrm_text_test.py` has what the model does with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.models.call_cache import CacheOverflowError, CallCache, CallShape


def test_empty_has_zeros_everywhere_and_an_array_for_each_slot():
    cache = CallCache.empty([CallShape(3, 6)] * 4, B=2, S=5, dtype="bfloat16")
    assert len(cache.calls) == 4
    assert {len(layers) for layers in cache.calls} == {3}
    slots = jax.tree.leaves(cache.calls)
    assert {(slot.shape, slot.dtype.name) for slot in slots} == {((2, 5, 6), "bfloat16")}
    assert len({slot.unsafe_buffer_pointer() for slot in slots}) == 4 * 3 * 2
    assert cache.room == 5
    np.testing.assert_array_equal(cache.lengths, [0, 0])


def test_calls_may_differ_in_layers_and_features():
    cache = CallCache.empty([CallShape(2, 4), CallShape(1, 6)], B=1, S=3, dtype="float32")
    shapes = [[slot.key.shape for slot in layers] for layers in cache.calls]
    assert shapes == [[(1, 3, 4), (1, 3, 4)], [(1, 3, 6)]]


def test_room_is_what_the_longest_row_leaves():
    empty = CallCache.empty([CallShape(1, 2)], B=3, S=7, dtype="float32")
    cache = CallCache(empty.calls, jnp.asarray([2, 6, 0]))
    cache.require_room(0)
    cache.require_room(1)
    with pytest.raises(CacheOverflowError, match="room for 3 tokens after 6, got a cache of 7"):
        cache.require_room(3)
