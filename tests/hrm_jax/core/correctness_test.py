"""How right proposals are, counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.correctness import correctness
from hrm_jax.core.types import IGNORE_LABEL, Batch

LABELS = np.array([[1, 2, 3], [1, 2, IGNORE_LABEL], [4, 4, 4], [IGNORE_LABEL] * 3], np.int32)
PROPOSALS = np.array([[1, 2, 3], [1, 0, 2], [0, 4, 0], [1, 1, 1]])  # right: 3/3, 1/2, 1/3, 0/0


def test_correctness_counts_labelled_cells():
    batch = Batch(jnp.zeros((4, 3), jnp.int32), jnp.asarray(LABELS), jnp.zeros(4, jnp.int32))
    found = correctness(2.0 * jax.nn.one_hot(PROPOSALS, 5), batch)
    np.testing.assert_allclose(found.cells, [1, 1 / 2, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_array_equal(found.exact, [True, False, False, True])
    np.testing.assert_array_equal(found.labelled, [True, True, True, False])
