"""Meshes: which there are, and who gives which part of a batch."""

import types

import jax
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.core.mesh import MeshConfig, batch_share, check_divisible, make_mesh


def test_by_default_all_devices_share_the_batch():
    assert dict(make_mesh(MeshConfig()).shape) == {"data": jax.device_count(), "model": 1}


@pytest.mark.parametrize("config", [MeshConfig(data=3), MeshConfig(model=3), MeshConfig(2, 2)])
def test_a_mesh_that_does_not_fit_is_refused(config):
    with pytest.raises(ConfigError, match=r"mesh: expected data \* model = 2 devices, got \("):
        make_mesh(config, jax.devices()[:1] * 2)


def mesh_of(processes, model):
    """A mesh of devices of which only their process is known."""
    devices = [types.SimpleNamespace(process_index=process) for process in processes]
    return types.SimpleNamespace(devices=np.array(devices).reshape(-1, model))


@pytest.mark.parametrize(
    ("processes", "model", "shares"),
    [
        ([0, 0, 1, 1], 1, [(0, 2), (1, 2)]),
        ([0, 0, 1, 1], 2, [(0, 2), (1, 2)]),
        ([0, 0, 1, 1], 4, [(0, 1), (0, 1)]),
        ([0, 1, 2, 3], 2, [(0, 2), (0, 2), (1, 2), (1, 2)]),
    ],
)
def test_processes_that_share_weights_give_the_same_part_of_a_batch(
    processes, model, shares, monkeypatch
):
    for process, share in enumerate(shares):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        assert batch_share(mesh_of(processes, model)) == share


def test_a_process_whose_devices_end_inside_a_row_is_refused():
    with pytest.raises(
        ConfigError, match=r"mesh\.model: expected a divisor or a multiple of the 4 "
    ):
        batch_share(mesh_of([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], model=6))


@pytest.mark.parametrize("sizes", [{"data": 0}, {"data": -2}, {"model": 0}, {"model": -1}])
def test_sizes_that_no_mesh_has_are_refused(sizes):
    (name,) = sizes
    with pytest.raises(ConfigError, match=f"{name}: expected 1 or more"):
        MeshConfig(**sizes)


def test_a_batch_that_devices_cannot_share_equally_is_refused():
    three = types.SimpleNamespace(shape={"data": 3})
    check_divisible("batch_size", 6, three)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="batch_size: expected a multiple of the 3 devices"):
        check_divisible("batch_size", 7, three)  # pyright: ignore[reportArgumentType]
