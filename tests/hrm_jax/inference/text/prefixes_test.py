"""Known prompts: which one is taken, and which are forgotten."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.inference.text.prefixes import Reading, Readings, common
from hrm_jax.models.call_cache import CallCache, CallShape

BYTES = CallCache.empty([CallShape(1, 4)], 1, 8, "float32").calls[0][0].key.nbytes * 2 + 4


def reading(tokens: list[int], room: int = 8) -> Reading:
    logits = np.zeros((1, 3), np.float32)
    cache = CallCache.empty([CallShape(1, 4)], 1, room, "float32")
    return Reading(tokens, jnp.asarray(logits), cache)


def readings(*kept: Reading, count: int = 9) -> Readings:
    found = Readings(count * BYTES)
    for one in kept:
        found.keep(one)
    return found


def test_the_reading_that_begins_most_like_the_prompt_is_taken():
    first = reading([1, 2, 3])
    second = reading([1, 2, 9, 9])
    known = readings(first, second)
    assert known.take([1, 2, 9, 5], 8) is second
    # It is the caller's now.
    assert known.take([1, 2, 9, 5], 8) is first
    assert known.take([1, 2, 9, 5], 8) is None


def test_a_reading_of_another_text_is_copied():
    other = reading([1, 2, 3, 4, 5, 6])
    known = readings(other)
    taken = known.take([1, 2, 7], 8)
    assert taken is not None
    pairs = zip(*map(jax.tree.leaves, (taken.cache, other.cache)), strict=True)
    assert all(ours is not theirs for ours, theirs in pairs)
    assert known.find([1, 2, 3, 4, 5, 6], 8) is other


@pytest.mark.parametrize(("tokens", "room"), [([5, 2], 8), ([1, 2, 3], 16)])
def test_nothing_alike_or_of_another_room_is_taken(tokens, room):
    known = readings(reading([1, 2, 3]))
    assert known.take(tokens, room) is None
    assert known.find(tokens, room) is None


def test_the_longest_unused_is_forgotten_and_the_last_never():
    first = reading([1])
    second = reading([2])
    known = readings(first, second, count=2)
    assert known.find([1], 8) is first
    known.keep(reading([3]))
    assert known.find([2], 8) is None
    assert known.find([1], 8) is first
    known = readings(first, second, count=0)
    assert known.find([1], 8) is None
    assert known.find([2], 8) is second


def test_texts_begin_alike_up_to_the_first_difference():
    assert common([1, 2, 3], [1, 2, 4]) == 2
    assert common([1, 2], [1, 2, 4]) == 2
    assert common([], [1]) == 0
