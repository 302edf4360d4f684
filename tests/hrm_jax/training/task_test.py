"""A task of a user's own: what has to be said, and what the defaults are."""

import dataclasses

import jax
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError, replace
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.training.run import train
from hrm_jax.training.run_config import TrainConfig
from hrm_jax.training.run_log import read_metrics
from hrm_jax.training.task import Task
from tests.hrm_jax.training.tiny import TinyTask

MESH = make_mesh(MeshConfig(), jax.devices()[:1])


def test_a_task_without_a_model_is_refused():
    class NoModel(Task):
        def loss(self, carry, outputs):
            return carry

    with pytest.raises(TypeError, match=r"abstract .*model"):
        NoModel()


def test_a_task_without_batches_is_refused_when_it_is_trained(tmp_path):
    class NoBatches(TinyTask):
        batch = Task.batch

    with pytest.raises(NotImplementedError, match=r"NoBatches: expected batch\(number\), or train"):
        train(NoBatches(), tmp_path)


def test_shapes_are_those_of_the_first_batch():
    shapes = TinyTask().abstract_batch()
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(shapes)] == [
        ((4, 20), np.int32),
        ((4, 20), np.int32),
    ]


def test_batches_are_numbered_and_go_on_where_they_were():
    task = TinyTask()
    batches = task.training_batches(None, MESH)
    next(batches)
    state = batches.get_state()
    second = next(batches)
    again = task.training_batches(None, MESH)
    again.set_state(state)
    for found in (second, next(again)):
        jax.tree.map(np.testing.assert_array_equal, found, task.batch(1))


def test_devices_have_to_share_a_batch_equally():
    mesh = dataclasses.make_dataclass("Devices", ["shape"])({"data": 3})
    with pytest.raises(ConfigError, match="batch: expected a multiple of the 3 devices"):
        TinyTask().training_batches(None, mesh)


def test_metrics_are_averaged_over_sequences_and_steps():
    assert TinyTask().average({"loss": 24.0}, steps=3) == {"loss": 2.0}


def test_optimizers_are_made_once():
    task = TinyTask()
    assert task.optimizers is task.optimizers
    assert task.loss == task.loss


def test_without_an_evaluation_the_log_has_training_records_alone(tmp_path):
    train(TinyTask(), tmp_path)
    assert {record["split"] for record in read_metrics(tmp_path)} == {"train"}


def test_the_default_configuration_can_be_changed_by_path():
    assert replace(TrainConfig(), {"loop.steps": 7, "optim.learning_rate": 1.0}).loop.steps == 7
