"""The PyTorch baseline against recordings of the original implementations.

The recorded TRM with `mlp_t` amplifies rounding about tenfold in every outer step: a float64 run
parts from the recording as fast as a float32 run does. So evaluation restarts each step from the
recorded states, which shows every step to full precision, and trajectories are compared as far as
they can be followed.
"""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from experiments.benchmarks.baselines import torch_hrm, torch_train  # noqa: E402
from hrm_jax.convert.published_config import from_published_config  # noqa: E402
from hrm_jax.convert.pytorch import from_state_dict  # noqa: E402
from hrm_jax.core.types import Batch  # noqa: E402
from hrm_jax.models.puzzle_model import PuzzleModel  # noqa: E402

GOLDEN = pathlib.Path(__file__).parents[3] / "golden"

# Training steps that are compared, and the tolerance, absolute and relative: by recording.
TRAJECTORIES = {"hrm_v1_a": (12, 1e-5), "trm_attention_a": (12, 1e-3)}
SHORT_TRAJECTORY = (3, 1e-3)

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.golden,
    # torch.compile imports a module of PyTorch's own that still uses TorchScript.
    pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning"),
]


class Recording:
    """One file of recordings, its model with the recorded initial weights, and its batches."""

    def __init__(self, path: pathlib.Path):
        self.compared_steps, self.tolerance = TRAJECTORIES.get(path.stem, SHORT_TRAJECTORY)
        with np.load(path) as file:
            self.arrays = dict(file)
        published = json.loads(str(self.arrays["config"]))
        fields = {field.name for field in dataclasses.fields(torch_hrm.TorchHrmConfig)}
        sizes = {key: value for key, value in published.items() if key in fields}
        architecture = "trm" if "no_ACT_continue" in published else "hrm"
        config = torch_hrm.TorchHrmConfig(**sizes, architecture=architecture)
        self.model = torch_hrm.TorchHrm(config)
        self.model.load_state_dict(self.weights("init"))
        train = json.loads(str(self.arrays["train"]))
        self.steps = train.pop("steps")
        self.train = torch_train.TorchTrainConfig(**train, loss_dtype=torch.float64)

    def weights(self, group: str) -> dict[str, torch.Tensor]:
        prefix = f"{group}/model."
        return {
            key.removeprefix(prefix): torch.from_numpy(value)
            for key, value in self.arrays.items()
            if key.startswith(prefix)
        }

    def batch(self, index: int) -> torch_hrm.TorchBatch:
        names = [field.name for field in dataclasses.fields(torch_hrm.TorchBatch)]
        arrays = (self.arrays[f"batch/{index}/{name}"] for name in names)
        return torch_hrm.TorchBatch(*map(torch.from_numpy, arrays))

    def check(self, key: str, actual, tolerance: float = 1e-4) -> None:
        expected = self.arrays[key]
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance, err_msg=key)

    def check_metrics(self, prefix: str, metrics, tolerance: float = 1e-4) -> None:
        for name, value in metrics.items():
            self.check(f"{prefix}/{name}", value, tolerance)


@pytest.fixture
def recording(recording_path) -> Recording:
    return Recording(recording_path)


def test_evaluation_steps_match_the_recording(recording):
    model = recording.model.eval()
    batch = recording.batch(0)
    carry = model.initial_carry(batch)
    for step in range(model.config.halt_max_steps):
        with torch.no_grad():
            carry, outputs = model(carry, batch)
        recording.check(f"eval/{step}/logits", outputs.logits)
        recording.check(f"eval/{step}/q_halt_logits", outputs.q_halt)
        recording.check(f"eval/{step}/q_continue_logits", outputs.q_continue)
        recording.check(f"eval/{step}/z_H", carry.z_h)
        recording.check(f"eval/{step}/z_L", carry.z_l)
        carry.z_h = torch.from_numpy(recording.arrays[f"eval/{step}/z_H"])
        carry.z_l = torch.from_numpy(recording.arrays[f"eval/{step}/z_L"])
    assert carry.halted.all()
    _, metrics = torch_train.act_loss(outputs, carry, torch.float64)
    recording.check_metrics("eval/metrics", metrics)


def test_first_gradients_match_the_recording(recording):
    trainer = torch_train.TorchTrainer(recording.model, recording.train)
    batch = recording.batch(0)
    _, _, gradients, rows = trainer.gradients(recording.model.initial_carry(batch), batch)
    names = [f"grad0/model.{name}" for name, _ in recording.model.named_parameters()]
    expected = {key: value for key, value in recording.arrays.items() if key.startswith("grad0/")}
    actual = dict(zip([*names, "grad0/puzzle_rows"], [*gradients, rows], strict=True))
    assert set(actual) == set(expected)
    for key, gradient in actual.items():
        scale = np.abs(expected[key]).max()
        np.testing.assert_allclose(gradient, expected[key], rtol=0, atol=1e-4 * scale, err_msg=key)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_trajectory_matches_the_recording(recording, compiled):
    trainer = torch_train.TorchTrainer(recording.model, recording.train, compiled=compiled)
    carry = recording.model.initial_carry(recording.batch(0))
    for step in range(recording.compared_steps):
        carry, metrics = trainer.step(carry, recording.batch(step))
        # The recording's `steps` are those of every sequence, not the sum over halted ones.
        metrics |= {"steps": carry.steps, "halted": carry.halted}
        recording.check_metrics(f"train/{step}", metrics, recording.tolerance)
    if recording.compared_steps == recording.steps:
        weights = recording.model.state_dict()
        assert set(recording.weights("final")) == set(weights)
        for name, value in weights.items():
            recording.check(f"final/model.{name}", value, recording.tolerance)


def test_in_bfloat16_it_computes_as_ours_does():
    """What the device suite compares: an evaluation step of both from the recorded weights."""
    recording = Recording(GOLDEN / "hrm_v1_a.npz")
    dtype = {"compute_dtype": "bfloat16"}
    twin = torch_hrm.TorchHrm(dataclasses.replace(recording.model.config, **dtype)).eval()
    twin.load_state_dict(recording.model.state_dict())
    batch = recording.batch(0)
    with torch.no_grad():
        carry, outputs = twin(twin.initial_carry(batch), batch)
    assert carry.z_h.dtype == torch.bfloat16

    published = json.loads(str(recording.arrays["config"]))
    config = from_published_config(published, shared_level=False)
    ours = PuzzleModel(dataclasses.replace(config, **dtype))
    init = {k.removeprefix("init/"): v for k, v in recording.arrays.items() if "init/" in k}
    variables = from_state_dict(ours, init)
    puzzles = Batch(**{k: v.numpy() for k, v in dataclasses.asdict(batch).items()})
    our_carry, our_outputs = ours.step(variables, ours.initial_carry(variables, puzzles), puzzles)
    assert our_carry.latents.z_H.dtype == "bfloat16"

    found = {
        "logits": (outputs.logits, our_outputs.logits),
        "z_H": (carry.z_h, our_carry.latents.z_H),
        "z_L": (carry.z_l, our_carry.latents.z_L),
    }
    for name, (theirs, mine) in found.items():
        exact = recording.arrays[f"eval/0/{name}"]
        scale = np.sqrt(np.square(exact).mean())
        errors = [
            np.sqrt(np.square(np.asarray(x, np.float32) - exact).mean()) / scale
            for x in (theirs.float(), mine)
        ]
        # Rounded, and by both alike.
        assert min(errors) > 1e-4, name
        assert max(errors) < min(0.03, 2 * min(errors)), (name, errors)


def small_model(**changes) -> torch_hrm.TorchHrm:
    sizes = {"vocab_size": 5, "seq_len": 6, "hidden_size": 8, "num_heads": 2}
    layers = {"L_layers": 1, "H_layers": 1, "expansion": 1}
    return torch_hrm.TorchHrm(torch_hrm.TorchHrmConfig(**sizes, **layers, **changes))


def small_batch(size: int) -> torch_hrm.TorchBatch:
    cells = torch.randint(0, 5, (size, 6), generator=torch.Generator().manual_seed(0))
    return torch_hrm.TorchBatch(cells, cells, torch.zeros(size, dtype=torch.int64))


def test_exploration_delays_halting_by_a_uniform_minimum():
    torch.manual_seed(0)
    model = small_model(halt_max_steps=4, halt_exploration_prob=1.0).train()
    # Halting is always preferred, so that the first halt tells the minimum that was drawn.
    model.inner.q_head.bias.data = torch.tensor([5.0, -5.0])
    batch = small_batch(3000)
    with torch.no_grad():
        carry, _ = model(model.initial_carry(batch), batch)
        assert not carry.halted.any()
        carry, _ = model(carry, batch)
    assert carry.halted.float().mean() == pytest.approx(1 / 3, abs=0.05)


def test_learning_rate_warms_up_then_follows_a_cosine():
    config = torch_train.TorchTrainConfig(warmup_steps=10, total_steps=110, lr_min_ratio=0.2)
    rates = [config.rate(step) for step in (1, 5, 10, 60, 110, 200)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 0.6, 0.2, 0.2])


def test_stablemax_gradient_is_finite_where_the_other_branch_is_singular():
    logits = torch.tensor([[[1.0, 0.0, -1.0]]], requires_grad=True)
    losses = torch_train.stablemax_cross_entropy(logits, torch.tensor([[0]]))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    # Scores are 2, 1, 1/2: d log(sum) - d log(chosen), the slopes being 1, 1 and 1/4.
    torch.testing.assert_close(gradient, torch.tensor([[[1 / 3.5 - 0.5, 1 / 3.5, 0.25 / 3.5]]]))


def test_gradients_of_equal_identifiers_are_summed_before_the_sign():
    table = torch.ones(3, 1)
    gradients = torch.tensor([[2.0], [-1.0], [0.5]])
    torch_train.sign_sgd_rows_(table, torch.tensor([2, 2, 0]), gradients, lr=0.1, decay=0.5)
    torch.testing.assert_close(table, torch.tensor([[0.85], [1.0], [0.85]]))
