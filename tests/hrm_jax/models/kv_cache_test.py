"""The cache as a value; `hrm_text_test.py` has what the model does with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.models.kv_cache import CacheOverflowError, CallCache


def test_empty_has_zeros_everywhere_and_an_array_for_each_slot():
    cache = CallCache.empty(calls=4, layers=3, B=2, S=5, features=6, dtype="bfloat16")
    assert len(cache.calls) == 4
    assert {len(layers) for layers in cache.calls} == {3}
    slots = jax.tree.leaves(cache.calls)
    assert {(slot.shape, slot.dtype.name) for slot in slots} == {((2, 5, 6), "bfloat16")}
    assert len({slot.unsafe_buffer_pointer() for slot in slots}) == 4 * 3 * 2
    assert cache.room == 5
    np.testing.assert_array_equal(cache.lengths, [0, 0])


def test_room_is_what_the_longest_row_leaves():
    empty = CallCache.empty(calls=1, layers=1, B=3, S=7, features=2, dtype="float32")
    cache = CallCache(empty.calls, jnp.asarray([2, 6, 0]))
    cache.require_room(0)
    cache.require_room(1)
    with pytest.raises(CacheOverflowError, match="room for 3 tokens after 6, got a cache of 7"):
        cache.require_room(3)
