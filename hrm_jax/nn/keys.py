"""Keys for the parameters of a module."""

import jax
from flax import nnx
from jaxtyping import PRNGKeyArray


class ParamKeys:
    """The keys of `nnx.Rngs(params=key)`, bit for bit, counted in Python.

    Flax counts them in an array. In a trace, where models are initialised, that costs 3 ms for each
    key: a fifth of the seconds in which a language model is loaded.
    """

    def __init__(self, key: PRNGKeyArray):
        """Starts at the first key that `key` gives."""
        self._key = key
        self._count = 0

    def params(self) -> PRNGKeyArray:
        """Returns the next key."""
        key = jax.random.fold_in(self._key, self._count)
        self._count += 1
        return key


Keys = ParamKeys | nnx.Rngs
"""What modules here take as `rngs`; they only call `params()`."""
