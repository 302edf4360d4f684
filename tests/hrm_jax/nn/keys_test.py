"""Keys of parameters are those of Flax."""

import jax
import numpy as np
from flax import nnx

from hrm_jax.nn.keys import ParamKeys


def draws(keys):
    return [jax.random.key_data(keys.params()) for _ in range(4)]


def test_they_are_those_of_flax_outside_and_inside_of_a_trace():
    key = jax.random.key(7)
    expected = draws(nnx.Rngs(params=key))
    assert len({tuple(np.asarray(one)) for one in expected}) == 4
    np.testing.assert_array_equal(draws(ParamKeys(key)), expected)
    np.testing.assert_array_equal(jax.jit(lambda k: draws(ParamKeys(k)))(key), expected)
