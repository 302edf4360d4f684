"""Batches on the devices, and going on where a run stopped."""

import jax
import numpy as np
import pytest

from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.training.batches import NumberedBatches, PlacedBatches


@pytest.fixture
def mesh():
    return make_mesh(MeshConfig(), jax.devices()[:1])


class Pipeline:
    """Counts from where it is told to."""

    def __init__(self):
        self.position = 0

    def __next__(self):
        self.position += 1
        return {"rows": np.full((2, 3), self.position, np.int32)}

    def get_state(self):
        return {"position": self.position}

    def set_state(self, state):
        self.position = state["position"]


def test_a_pipelines_batches_are_converted_placed_and_resumed(mesh):
    batches = PlacedBatches(Pipeline(), lambda item: item["rows"] + 10, mesh)
    first = next(batches)
    assert isinstance(first, jax.Array)
    np.testing.assert_array_equal(first, np.full((2, 3), 11))
    state = batches.get_state()
    assert state == {"position": 1}
    np.testing.assert_array_equal(next(batches), np.full((2, 3), 12))
    again = PlacedBatches(Pipeline(), lambda item: item["rows"] + 10, mesh)
    again.set_state(state)
    np.testing.assert_array_equal(next(again), np.full((2, 3), 12))


def test_numbered_batches_count_from_zero_and_go_on_from_any_number(mesh):
    batches = NumberedBatches(lambda number: np.full((2,), number, np.int32), mesh)
    assert [int(next(batches)[0]) for _ in range(3)] == [0, 1, 2]
    assert batches.get_state() == 3
    batches.set_state(1)
    assert [int(next(batches)[0]) for _ in range(2)] == [1, 2]
    assert isinstance(next(batches), jax.Array)
