import numpy as np
import pytest

from hrm_jax.planning.forecast.guessing import guess_sizes
from tests.hrm_jax.planning.forecast.made import issues


def test_sizes_are_guessed_from_words():
    past, sizes = issues(120)
    new, came = issues(10, seed=1)
    found = guess_sizes(past, sizes, new)
    assert found is not None
    assert found.by_text
    assert found.error < 0.7 * found.usual_error
    assert ((found.sizes > 5) == (came > 5)).all()
    assert (found.low <= found.sizes).all()
    assert (found.sizes <= found.high).all()


def test_texts_that_say_nothing_leave_the_quantiles_of_the_past():
    past, sizes = issues(60)
    found = guess_sizes(past, np.random.default_rng(0).permutation(sizes), issues(5, seed=1)[0])
    assert found is not None
    assert not found.by_text
    assert set(found.sizes) == {float(np.median(sizes))}
    assert found.high[0] == pytest.approx(np.quantile(sizes, 0.9))


def test_a_short_past_says_nothing():
    past, sizes = issues(39)
    assert guess_sizes(past, sizes, past) is None
