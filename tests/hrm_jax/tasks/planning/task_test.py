"""Examples, loss and a tiny run of training the planner's model."""

import dataclasses

import jax
import numpy as np
import pytest

from hrm_jax.core.config import replace
from hrm_jax.core.graphs import GraphOutputs
from hrm_jax.core.types import Carry
from hrm_jax.planning.generator import make_problem
from hrm_jax.tasks.planning import examples
from hrm_jax.tasks.planning.loss import plan_loss
from hrm_jax.tasks.planning.task import PlannerConfig, PlannerTask, draw_batch
from hrm_jax.training.run import train
from hrm_jax.training.run_log import read_metrics

TINY = replace(
    PlannerConfig(),
    {
        "examples.problems": 3,
        "examples.held_out": 2,
        "examples.most_tasks": 16,
        "examples.tries": 120,
        "examples.snapshots": (10, 30),
        "examples.neighbours": 20,
        "model.hidden_size": 8,
        "model.L_cycles": 1,
        "model.steps": 2,
        "optim.warmup_steps": 1,
        "tasks": 32,
        "batch_size": 2,
        "measured_tries": 20,
        "loop.steps": 4,
        "loop.log_every": 2,
        "loop.evaluate_every": 4,
        "loop.checkpoint_every": 2,
    },
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return replace(TINY, {"data_dir": str(tmp_path_factory.mktemp("data"))})


@pytest.fixture(scope="module")
def data(config):
    return PlannerTask(config).load()


def test_examples_lead_to_better_plans(config, data):
    known, held_out = PlannerTask(config).solve_examples()
    assert len(known) == 3
    assert not {one.seed for one in known} & {one.seed for one in held_out}
    for solved in known:
        problem = make_problem(solved.seed, config.examples.most_tasks)
        assert solved.pairs
        for plan, better in solved.pairs:
            assert problem.cost(better) < problem.cost(plan)
    assert len(data.examples) == sum(len(solved.pairs) for solved in known)


def test_solved_problems_are_kept_and_damaged_files_solved_again(config, tmp_path):
    settings = config.examples
    first = examples.load(settings, tmp_path, held_out=True)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    assert_same(examples.load(settings, tmp_path, held_out=True), first)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:200])
    assert_same(examples.load(settings, tmp_path, held_out=True), first)


def assert_same(some, others):
    assert [one.seed for one in some] == [one.seed for one in others]
    for one, other in zip(some, others, strict=True):
        for pair, same in zip(one.pairs, other.pairs, strict=True):
            np.testing.assert_array_equal(pair[1].start, same[1].start)


def test_batches_are_a_function_of_their_number(config, data):
    count = len(data.examples)
    batches = [draw_batch(data.examples, config, number) for number in range(count)]
    again = draw_batch(data.examples, config, 1)
    jax.tree.map(np.testing.assert_array_equal, batches[1], again)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), batches[0])
    told = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), PlannerTask(config).abstract_batch())
    assert shapes == told
    # Two epochs, each of which shows every example once.
    tasks = [batch.labels.is_task.sum() for batch in batches]
    assert sum(tasks) == 2 * sum(example.graph.tasks for example in data.examples)


def test_the_loss_is_least_for_what_the_better_plan_says(config, data):
    batch = draw_batch(data.examples, config, 0)
    labels = batch.labels
    right = np.zeros((*labels.move.shape, 3), np.float32)
    right[..., 0] = labels.move
    right[..., 1] = -6
    right[..., 2] = np.where(labels.chosen > 0.5, 20, -20)
    nothing = np.zeros_like(right)
    losses = []
    for said in (right, nothing):
        carry = Carry(None, np.zeros(2), np.zeros(2, bool), batch)
        loss, metrics = plan_loss(carry, GraphOutputs(said))
        losses.append(float(loss))
    assert losses[0] < losses[1]
    assert float(metrics.error) == pytest.approx(float(metrics.distance))
    assert float(metrics.graphs) == 2
    # What stands in padding is not weighed.
    nothing[~batch.present] = 100
    assert float(plan_loss(carry, GraphOutputs(nothing))[0]) == pytest.approx(losses[1])


def test_a_run_learns_is_measured_and_resumes(config, data, tmp_path):
    task = PlannerTask(config)
    state = train(task, tmp_path / "whole")
    records = read_metrics(tmp_path / "whole")
    assert {"loss", "error", "distance"} <= set(records[0])
    measured = [record for record in records if record["split"] == "validation"]
    assert set(measured[-1]) >= {"gain", "better", "worse"}
    short = PlannerTask(replace(config, {"loop.steps": 2}))
    train(short, tmp_path / "parts")
    resumed = train(
        dataclasses.replace(task, config=replace(config, {"loop.steps": 4})),
        tmp_path / "parts",
        resume=True,
    )
    assert int(resumed.step) == 4
    del state, data
