"""A run on puzzles with relations of their own: model, batches, search and what stands beside."""

import json

import jax
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError, from_dict, replace, to_json
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.inference.config import SearchConfig
from hrm_jax.inference.uniform import Uniform
from hrm_jax.tasks.differing.colouring import Colouring
from hrm_jax.tasks.differing.evaluation import MeasureConfig, measure, solve_exactly
from hrm_jax.tasks.differing.latin import Latin
from hrm_jax.tasks.differing.task import DifferingConfig, DifferingTask
from hrm_jax.training.run import train
from hrm_jax.training.run_config import LoopConfig
from tests.hrm_jax.models.tiny import RELATIONAL

CONFIG = DifferingConfig(
    colouring=Colouring(colours=3, vertices=12, fewest_neighbours=3.0, most_neighbours=4.0),
    model=replace(RELATIONAL, {"distribution": "softmax", "halt_max_steps": 4}),
    puzzles=8,
    validated=4,
    test=MeasureConfig(
        puzzles=6,
        batch_size=16,
        max_steps=2,
        search=SearchConfig(attempts=20, branch=True, max_steps=2, symmetries=False, noise=0.5),
    ),
    loop=LoopConfig(steps=2, log_every=1, evaluate_every=2, checkpoint_every=2, batch_parts=2),
    batch_size=4,
)
TASK = DifferingTask(CONFIG)
MESH = make_mesh(MeshConfig())


def test_vertices_and_colours_renumbered_renumber_the_answer():
    model = TASK.model
    variables = model.init(jax.random.key(0))
    batch = TASK._batch(TASK.load()[0], 0)
    rng = np.random.default_rng(0)
    vertices = rng.permutation(12)
    place = np.argsort(vertices)  # where each vertex went
    colours = np.concatenate([[0, 1], 2 + rng.permutation(3)])
    (edges,) = batch.relations["neighbours"]
    moved_edges = type(edges)(place[edges.source], place[edges.target], edges.share)
    moved = type(batch)(
        colours[batch.inputs[:, vertices]],
        colours[batch.labels[:, vertices]],
        batch.puzzle_identifiers,
        {"neighbours": (moved_edges,)},
    )
    step = jax.jit(model.step)
    logits, others = (
        np.asarray(step(variables, model.initial_carry(variables, some), some)[1].logits)
        for some in (batch, moved)
    )
    np.testing.assert_allclose(others[:, :, colours], logits[:, vertices], atol=1e-5)
    # Without its edges a graph is another puzzle.
    unlinked = type(edges)(edges.source, edges.target, np.zeros_like(edges.share))
    apart = type(batch)(
        batch.inputs, batch.labels, batch.puzzle_identifiers, {"neighbours": (unlinked,)}
    )
    said = step(variables, model.initial_carry(variables, apart), apart)[1].logits
    assert np.abs(np.asarray(said) - logits).max() > 1e-3


def test_a_run_trains_and_goes_on(tmp_path):
    state = train(TASK, tmp_path / "run")
    assert int(state.step) == 2
    further = DifferingTask(replace(CONFIG, {"loop.steps": 4}))
    assert int(train(further, tmp_path / "run", resume=True).step) == 4


def test_a_search_with_rules_needs_no_model():
    puzzles = TASK.tested()
    variables = TASK.model.init(jax.random.key(0))
    kind = CONFIG.kind
    found = measure(Uniform(TASK.model), variables, kind, puzzles, CONFIG.test, MESH)
    assert not found.single.valid.any()
    assert found.searched.valid.all()
    np.testing.assert_array_equal(found.searched.tokens, puzzles.labels)
    exact = solve_exactly(puzzles)
    assert exact.solved.all()


def test_without_a_search_there_is_one_pass():
    config = replace(CONFIG.test, {"search.attempts": 0})
    variables = TASK.model.init(jax.random.key(0))
    found = measure(Uniform(TASK.model), variables, CONFIG.kind, TASK.tested(), config, MESH)
    assert found.searched is found.single
    assert (found.single.steps == 2).all()


def test_one_kind_is_chosen_and_kept():
    with pytest.raises(ConfigError, match="latin: expected either latin or colouring"):
        replace(CONFIG, {"colouring": None})
    with pytest.raises(ConfigError, match=r"model\.mixing: expected relational"):
        replace(CONFIG, {"model.mixing": "mlp"})
    latin = DifferingConfig(latin=Latin(order=4), model=CONFIG.model)
    assert from_dict(DifferingConfig, json.loads(to_json(latin))) == latin
