"""What is taken back of a fill that would be empty, and what may not come again."""

import numpy as np

from hrm_jax.inference.text.healing import Vocabulary
from hrm_jax.inference.text.refilling import Refill

WORDS = [b" ", b"\n", b"return", b" x", b"re", b"", b""]
ENDS = [5, 6]


def refill(tokens, owed=b""):
    found = Refill(Vocabulary(WORDS), ENDS, owed)
    assert found.allowed() is None
    found.add(tokens)
    assert found.allowed() is None
    return found


def forbidden(found):
    return np.flatnonzero(~found.allowed()).tolist()


def test_the_first_token_that_says_something_is_taken_back_once():
    found = refill([0, 0, 2, 3, 1])
    assert found.refuse()
    assert found.refused
    assert found.tokens == [0, 0]
    assert forbidden(found) == [2]
    found.add([3])
    assert not found.refused
    assert found.allowed() is None
    assert not found.refuse()


def test_any_end_is_forbidden_where_one_came_first():
    found = refill([1, 6])
    assert found.refuse()
    assert found.tokens == [1]
    assert forbidden(found) == ENDS


def test_what_only_repeats_the_prompt_says_nothing():
    found = refill([4, 0, 3], owed=b"re ")
    assert found.refuse()
    assert found.tokens == [4, 0]
    # A token that begins so and goes on.
    found = refill([2, 3], owed=b"re")
    assert found.refuse()
    assert found.tokens == []
    assert forbidden(found) == [2]


def test_of_white_space_alone_the_last_is_taken_back():
    found = refill([0, 1])
    assert found.refuse()
    assert found.tokens == [0]
    assert forbidden(found) == [1]
