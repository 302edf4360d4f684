"""Two processes that train one model agree with one process that trains it alone."""

import socket
import subprocess

import numpy as np
import pytest

from tests import commands

# Losses and weights agree to rounding: the gradients are summed in another order.
TOLERANCE = 1e-5

TRAIN = """
import sys
import jax, numpy as np

folder, model_devices = sys.argv[1], int(sys.argv[2])
if len(sys.argv) > 3:
    jax.distributed.initialize(sys.argv[3], 2, int(sys.argv[4]))
from hrm_jax.core.types import Batch
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.training import loop, saving
from hrm_jax.training.checkpoint import CheckpointStore
from hrm_jax.training.interrupt import GracefulStop
from hrm_jax.core.mesh import (
    MeshConfig, batch_share, batch_sharding, fetch, global_batch, make_mesh, replicated,
)
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.run_config import LoopConfig
from hrm_jax.training.run_log import RunLog
from hrm_jax.training.first_state import init_state
from hrm_jax.training.state import state_shardings
from hrm_jax.training.step import make_train_step

B, T = 8, 7
processes, process = jax.process_count(), jax.process_index()
mesh = make_mesh(MeshConfig(model=model_devices))
part, parts = batch_share(mesh)
model = PuzzleModel(hrm(
    seq_len=T, vocab_size=5, hidden_size=16, num_heads=2, H_layers=1, L_layers=1, H_cycles=1,
    L_cycles=1, num_puzzle_identifiers=3, puzzle_emb_ndim=16, halt_max_steps=3,
))
optimizers = make_optimizers(OptimConfig(learning_rate=1e-3, warmup_steps=0), total_steps=6)


class Batches:
    step = 0

    def __next__(self):
        rng = np.random.default_rng(self.step)
        self.step += 1
        tokens, rows = rng.integers(1, 5, (2, B, T), np.int32), rng.integers(0, 3, B, np.int32)
        mine = slice(part * B // parts, (part + 1) * B // parts)
        return global_batch(Batch(tokens[0, mine], tokens[1, mine], rows[mine]), mesh)

    def get_state(self):
        return self.step

    def set_state(self, state):
        self.step = state


zeros = np.zeros((B, T), np.int32)
init = lambda key: init_state(model, optimizers, key, Batch(zeros, zeros, zeros[:, 0]))
shardings = state_shardings(jax.eval_shape(init, jax.random.key(0)), mesh)
state = jax.jit(init, out_shardings=shardings)(jax.random.key(0))
step = jax.jit(
    make_train_step(act_loss, optimizers),
    static_argnums=0,
    donate_argnums=1,
    in_shardings=(shardings, batch_sharding(mesh)),
    out_shardings=(shardings, replicated(mesh)),
)
losses, stop = [], GracefulStop()


def progress(number, averages):
    losses.append(averages["lm_loss"])
    # Only the last process is asked to stop; the others have to learn it from there.
    stop.requested = number == 3 and process == processes - 1 and "stop" in sys.argv


def run(batches, resume):
    store = CheckpointStore(folder + "/checkpoints", 1)
    start, extras = saving.resume(store, state, batches) if resume else (state, None)
    with RunLog(folder, resume_step=int(start.step) if resume else -1) as log:
        return loop.run_steps(
            start, step, lambda _: model, batches, config=LoopConfig(6, log_every=1),
            store=store, log=log, hooks=loop.Hooks(lambda sums, steps: sums, lambda state: {}),
            progress=progress, stop=stop, extras=extras,
        )


final = run(Batches(), False)
if "stop" in sys.argv:
    assert int(final.step) == 4, int(final.step)
    stop.requested = False
    sys.argv.remove("stop")
    state = jax.jit(init, out_shardings=shardings)(jax.random.key(1))
    final = run(Batches(), True)
weights = jax.tree.leaves(fetch(final.variables, mesh))
if process == 0:
    np.savez(folder + "/result.npz", np.asarray(losses), *weights)
"""


def start(*arguments, devices):
    return commands.start("-c", TRAIN, *arguments, devices=devices, stderr=subprocess.PIPE)


def finish(processes):
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), errors


def free_address():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    finish([start(folder, 1, devices=1)])
    return np.load(folder / "result.npz")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model_devices", "stop"),
    [(1, ""), (4, ""), (2, "stop")],
    ids=["share the batch", "share each layer", "share both, are stopped and resumed"],
)
def test_two_processes_agree_with_one(alone, tmp_path, model_devices, stop):
    address = free_address()
    finish(
        [start(tmp_path, model_devices, address, number, stop, devices=2) for number in range(2)]
    )
    together = np.load(tmp_path / "result.npz")
    assert together.files == alone.files
    for name in alone.files:
        np.testing.assert_allclose(together[name], alone[name], rtol=TOLERANCE, atol=TOLERANCE)
