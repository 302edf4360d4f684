"""The loop: what it logs, saves and evaluates when, and that resuming changes nothing."""

import dataclasses
import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.core.types import Batch
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.training import loop, saving
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore
from hrm_jax.training.divergence import Diverged
from hrm_jax.training.first_state import init_state
from hrm_jax.training.interrupt import GracefulStop
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.run_config import LoopConfig
from hrm_jax.training.run_log import RunLog, read_metrics
from hrm_jax.training.step import make_train_step

CONFIG = LoopConfig(steps=7, log_every=3, evaluate_every=4, checkpoint_every=2, keep_checkpoints=10)


class Batches:
    """Batch n is a function of n."""

    def __init__(self, make):
        self.make = make
        self.next = 0

    def __next__(self):
        self.next += 1
        return self.make(self.next - 1)

    def get_state(self):
        return {"next": self.next}

    def set_state(self, state):
        self.next = state["next"]


class Run:
    """A run in a folder, with all that the loop asks for."""

    def __init__(self, folder, step, init, make_batch):
        self.folder = folder
        self.step = step
        self.init = init
        self.batches = Batches(make_batch)
        self.store = CheckpointStore(folder / "checkpoints", CONFIG.keep_checkpoints)
        self.stop = GracefulStop()
        self.evaluated = []
        self.progress = []

    def go(self, *, stop_after=None, resume=False, judge=lambda *_: None, **changes):
        def evaluate(state):
            self.evaluated.append(int(state.step))
            return {"first": jax.tree.leaves(state.variables)[0].ravel()[0]}

        def progress(step, averages):
            self.progress.append((step, dict(averages)))
            self.stop.requested |= step == stop_after

        summarize = lambda sums, steps: {**sums, "window": steps}  # noqa: E731
        state = self.init()
        resumed = saving.resume(self.store, state, self.batches) if resume else None
        state, extras = resumed or (state, None)
        with RunLog(self.folder, resume_step=int(state.step) if resumed else -1) as log:
            return loop.run_steps(
                state,
                lambda _, state, batch: self.step(state, batch),
                lambda step: None,
                self.batches,
                config=dataclasses.replace(CONFIG, **changes),
                store=self.store,
                log=log,
                hooks=loop.Hooks(summarize, evaluate, judge),
                progress=progress,
                stop=self.stop,
                extras=extras,
            )

    def records(self):
        records = read_metrics(self.folder)
        return [{k: v for k, v in r.items() if k != "time_seconds"} for r in records]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sum:
    """The smallest state: it adds up its batches."""

    step: jax.Array
    variables: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SumMetrics:
    loss: jax.Array


def add(state, batch):
    return Sum(state.step + 1, state.variables + batch), SumMetrics(batch)


@pytest.fixture
def summing(tmp_path):
    return Run(tmp_path, add, lambda: Sum(jnp.int32(0), jnp.float32(0)), jnp.float32)


def test_every_step_is_done_once_on_its_batch(summing):
    state = summing.go()
    assert (int(state.step), float(state.variables)) == (7, sum(range(7)))
    assert [step for step, _ in summing.progress] == [1, 2, 3, 4, 5, 6, 7]


def test_records_cover_log_every_steps(summing):
    summing.go()
    train = [record for record in summing.records() if record["split"] == "train"]
    assert train == [
        {"step": 3, "split": "train", "loss": 0 + 1 + 2, "window": 3},
        {"step": 6, "split": "train", "loss": 3 + 4 + 5, "window": 3},
    ]
    assert [averages for step, averages in summing.progress if step in (2, 3)] == [
        {},
        {"loss": 3, "window": 3},
    ]


def test_evaluations_follow_their_interval_and_the_last_step(summing):
    summing.go()
    assert summing.evaluated == [4, 7]
    validation = [r for r in summing.records() if r["split"] == "validation"]
    assert validation == [
        {"step": 4, "split": "validation", "first": 0 + 1 + 2 + 3},
        {"step": 7, "split": "validation", "first": sum(range(7))},
    ]


def test_checkpoints_follow_their_interval_and_the_last_step(summing):
    summing.go()
    assert summing.store.steps() == [2, 4, 6, 7]


def test_a_finished_run_does_nothing_when_resumed(summing):
    summing.go()
    before = summing.records()
    state = summing.go(resume=True)
    assert int(state.step) == 7
    assert summing.records() == before


def test_a_finished_run_can_be_made_longer(summing):
    summing.go()
    state = summing.go(resume=True, steps=9)
    assert (int(state.step), float(state.variables)) == (9, sum(range(9)))


def test_nothing_is_resumed_from_an_empty_folder(summing):
    assert saving.resume(summing.store, summing.init(), summing.batches) is None
    assert float(summing.go(resume=True).variables) == sum(range(7))


def test_a_requested_stop_saves_and_returns(summing):
    state = summing.go(stop_after=2)
    assert int(state.step) == 3
    assert summing.store.steps() == [2, 3]
    assert summing.evaluated == []
    restored = summing.store.latest(state)
    assert float(restored.state.variables) == float(state.variables)


def test_a_window_cut_by_a_stop_is_completed_by_the_resumed_run(summing):
    summing.go(stop_after=3)  # at step 4, one step into the second window
    summing.stop.requested = False
    summing.go(resume=True)
    windows = [(r["step"], r["loss"], r["window"]) for r in summing.records() if "window" in r]
    assert windows == [(3, 0 + 1 + 2, 3), (6, 3 + 4 + 5, 3)]


def test_an_evaluation_can_end_the_run_which_is_saved(summing):
    judged = []

    def judge(step, measures):
        judged.append((step, measures))
        return "not good enough"

    with pytest.raises(loop.Ended, match=r"^step 4: not good enough$"):
        summing.go(judge=judge)
    assert judged == [(4, {"first": 0 + 1 + 2 + 3})]
    assert summing.store.steps() == [2, 4]


def test_what_a_judge_does_to_the_batches_is_saved(summing):
    def skip_one(step, measures):
        next(summing.batches)

    whole = summing.go(judge=skip_one)
    assert float(whole.variables) == sum(range(8)) - 4
    summing.store.discard_after(4)
    assert float(summing.go(resume=True, judge=skip_one).variables) == float(whole.variables)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_run(summing, bad):
    def bad_loss(state, batch):
        new_state, metrics = add(state, batch)
        return new_state, SumMetrics(jnp.where(new_state.step == 4, bad, metrics.loss))

    summing.step = bad_loss
    with pytest.raises(Diverged, match=r"step 4: .*'loss': (nan|inf).*lower learning rate"):
        summing.go()
    assert summing.store.steps() == [2]
    assert summing.evaluated == []


def test_parameters_that_are_not_finite_are_not_saved(summing):
    def bad_update(state, batch):
        new_state, metrics = add(state, batch)
        bad = jnp.where(new_state.step == 6, jnp.nan, new_state.variables)
        return dataclasses.replace(new_state, variables=bad), metrics

    summing.step = bad_update
    with pytest.raises(Diverged, match=r"step 6: expected finite parameters.*lower learning rate"):
        summing.go()
    assert summing.store.steps() == [2, 4]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(LoopConfig)])
def test_lengths_and_intervals_are_at_least_one(name):
    with pytest.raises(ConfigError, match=f"{name}: expected 1 or more, got 0"):
        LoopConfig(**{name: 0})


# The same for the bits of a real model.

B = 4
T = 5
MODEL = PuzzleModel(
    hrm(
        seq_len=T,
        vocab_size=5,
        hidden_size=8,
        num_heads=2,
        H_layers=1,
        L_layers=1,
        H_cycles=1,
        L_cycles=1,
        puzzle_emb_ndim=8,
        halt_max_steps=3,
        halt_exploration_prob=0.5,
    )
)


def puzzles(number):
    tokens = np.random.default_rng(number).integers(1, 5, (2, B, T), np.int32)
    return Batch(*jnp.asarray(tokens), jnp.zeros(B, jnp.int32))


@pytest.fixture(scope="module")
def start_run():
    """A function from a folder to a run of a tiny HRM; they share one compiled step."""
    optimizers = make_optimizers(OptimConfig(warmup_steps=3, ema_decay=0.9), CONFIG.steps)
    step = functools.partial(make_train_step(act_loss, optimizers), MODEL)
    step = jax.jit(step, donate_argnums=0)
    init = jax.jit(lambda: init_state(MODEL, optimizers, jax.random.key(0), puzzles(0)))
    return lambda folder: Run(folder, step, init, puzzles)


@pytest.fixture(scope="module")
def uninterrupted(start_run, tmp_path_factory):
    run = start_run(tmp_path_factory.mktemp("whole"))
    return run, run.go()


def assert_same_bits(found, expected):
    def same(a, b):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a = jax.random.key_data(a)
            b = jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()

    jax.tree.map(same, found, expected)


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize("step", [2, 4, 6, 7])
def test_resuming_from_any_checkpoint_changes_no_bit(start_run, uninterrupted, tmp_path, step):
    whole, expected = uninterrupted
    shutil.copytree(whole.folder, tmp_path, dirs_exist_ok=True)
    run = start_run(tmp_path)
    run.store.discard_after(step)
    assert_same_bits(run.go(resume=True), expected)
    assert run.records() == whole.records()
    assert run.batches.get_state() == whole.batches.get_state()
    extras = [CheckpointReader(r.store.folder).load_extras(7) for r in (run, whole)]
    assert extras[0] == extras[1]


@pytest.mark.parametrize("step", [1, 2, 4])
def test_stopping_and_resuming_changes_no_bit(start_run, uninterrupted, tmp_path, step):
    _, expected = uninterrupted
    assert int(start_run(tmp_path).go(stop_after=step).step) < CONFIG.steps
    assert_same_bits(start_run(tmp_path).go(resume=True), expected)
