"""Boards of several sizes in one run: batches, what is summed, what is refused."""

import numpy as np
import pytest

from hrm_jax.core.config import ConfigError, replace
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.boards import Board, is_solution
from hrm_jax.tasks.sudoku.sizes import SizesConfig, SizesTask
from hrm_jax.tasks.sudoku.task import DataConfig
from tests.hrm_jax.models.tiny import RELATIONAL

CONFIG = SizesConfig(
    model=RELATIONAL,
    boxes=("2x2", "2x3"),
    rows=(3, 2),
    puzzles=6,
    held_out=4,
    data=DataConfig(augment=False, reveal_share=1.0),
)
TASK = SizesTask(CONFIG)


def test_batches_hold_puzzles_of_every_size_and_go_on_where_they_were():
    data = TASK.load()
    batches = TASK.training_batches(data, make_mesh(MeshConfig()))
    next(batches)
    state = batches.get_state()
    batch = next(batches)
    for part, board, expected in zip(
        batch, (Board(2, 2), Board(2, 3)), TASK.abstract_batch(), strict=True
    ):
        assert part.inputs.shape == expected.inputs.shape
        grids = np.asarray(part.labels, np.uint8) - rules.BLANK_TOKEN
        givens = np.asarray(part.inputs, np.uint8) - rules.BLANK_TOKEN
        assert is_solution(grids, givens, board).all()
    batches.set_state(state)
    np.testing.assert_array_equal(next(batches)[1].inputs, batch[1].inputs)


def test_held_out_puzzles_are_others():
    learned, held_out = TASK.load()
    assert [len(source) for source in held_out] == [4, 4]
    seen = {grid.tobytes() for grid in learned[1].labels}
    assert seen.isdisjoint(grid.tobytes() for grid in held_out[1].labels)
    assert TASK.fingerprint((learned, held_out)) == TASK.fingerprint(TASK.load())


def test_metrics_are_averaged_over_all_rows():
    sums = dict.fromkeys(("lm_loss", "q_halt_loss", "q_continue_loss"), 10.0) | {"count": 0.0}
    assert TASK.average(sums, steps=2)["lm_loss"] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": (3,)}, r"rows: expected one number for each of the boxes .*, got \(3,\)"),
        ({"boxes": ("2x2", "2x2")}, "none twice"),
        ({"model.mixing": "mlp"}, "model.mixing: expected relational"),
        ({"loop.batch_parts": 2}, "loop.batch_parts: expected 1"),
        ({"grades": ("hard",)}, "grades"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, changes)
