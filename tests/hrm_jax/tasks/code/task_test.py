"""Code as a task: what its configuration makes, and that a resumed run changes no bit."""

import dataclasses
import json
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.codegen.presets import PRESETS
from hrm_jax.convert.language import load_language_model, save_language_model
from hrm_jax.core.config import ConfigError, replace, to_json
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.data.text.batches import evaluation_batches
from hrm_jax.data.text.source import Text, tokenize
from hrm_jax.models.hrm_llama import HrmLlamaConfig
from hrm_jax.models.llama import LlamaConfig
from hrm_jax.models.recurrence import Schedule
from hrm_jax.tasks.code import task as task_module
from hrm_jax.tasks.code.config import CodeEvaluationConfig, Phase
from hrm_jax.tasks.code.data import TextSplits, chosen
from hrm_jax.tasks.code.evaluation import bits_per_byte
from hrm_jax.tasks.code.task import CodeTask
from hrm_jax.training import run
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore
from hrm_jax.training.curriculum import Gate
from hrm_jax.training.first_state import begin
from hrm_jax.training.learned_data import DataChanged
from hrm_jax.training.loop import Ended
from hrm_jax.training.run_folder import restore
from hrm_jax.training.run_log import read_metrics

FUNCTIONS = [f"def f{n}(x):\n    return x + {n}\n" for n in range(12)]
SPLITS = TextSplits(
    train=tuple(Text(text, language="python") for text in FUNCTIONS)
    + tuple(Text(f"int f{n}(void) {{ return {n}; }}\n" * 9, language="c") for n in range(5)),
    validation=(Text("def g(y):\n    return y\n", language="python"), Text("int g;", language="c")),
    test=(Text("def h(z):\n    return z\n", language="python"),),
)
SMALL = {
    "model.hidden_size": 16,
    "model.num_heads": 2,
    "model.head_size": 8,
    "model.mlp_width": 32,
    "data.row_tokens": 48,
    "batch_tokens": 96,
    "loop.steps": 8,
    "loop.log_every": 2,
    "loop.evaluate_every": 2,
    "loop.checkpoint_every": 1,
    "loop.keep_checkpoints": 10,
    "validation.batch_rows": 2,
    "validation.samples": 1,
    "validation.sample_tokens": 8,
    "border.share": 0.5,
    "phases": (Phase(Gate(steps=4), languages=("python",)), Phase(row_tokens=32)),
}
CONFIG = replace(PRESETS["minute"], SMALL)
ONE_DEVICE = make_mesh(MeshConfig(), jax.devices()[:1])


@pytest.fixture(autouse=True)
def small_corpus(monkeypatch):
    monkeypatch.setattr(task_module, "read_splits", lambda _: SPLITS)


def train(folder, config=CONFIG, *, resume=False):
    task = CodeTask(config, folder)
    return task, run.train(task, folder, resume=resume)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run through both phases: its task and its last state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_module, "read_splits", lambda _: SPLITS)
        return train(tmp_path_factory.mktemp("whole"))


def records(folder):
    return [{k: v for k, v in r.items() if k != "time_seconds"} for r in read_metrics(folder)]


@pytest.mark.thorough
def test_a_run_goes_through_its_phases_and_measures_each_language(whole):
    task, state = whole
    assert int(state.step) == 8
    validation = [r for r in records(task.folder) if r["split"] == "validation"]
    assert [(r["step"], r["phase"]) for r in validation] == [(2, 1), (4, 1), (6, 2), (8, 2)]
    measures = {"bits_per_byte", "bits_per_byte_python", "bits_per_byte_c", "parse_rate"}
    assert all(measures <= record.keys() for record in validation)
    train_records = [r for r in records(task.folder) if r["split"] == "train"]
    assert train_records[-1]["bits_per_byte"] < train_records[0]["bits_per_byte"]


@pytest.mark.thorough
@pytest.mark.parametrize("step", [1, 4, 5])
def test_resuming_changes_no_bit(whole, tmp_path, step):
    task, expected = whole
    shutil.copytree(task.folder, tmp_path, dirs_exist_ok=True)
    CheckpointStore(tmp_path / run.CHECKPOINTS, keep=10).discard_after(step)
    _, found = train(tmp_path, resume=True)

    def same(a, b):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a = jax.random.key_data(a)
            b = jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()

    jax.tree.map(same, found, expected)
    assert records(tmp_path) == records(task.folder)
    extras = [CheckpointReader(f / run.CHECKPOINTS).load_extras(8) for f in (tmp_path, task.folder)]
    assert extras[0] == extras[1]


def test_a_run_does_not_go_on_with_other_texts_unnoticed(whole, tmp_path, monkeypatch):
    task, _ = whole
    shutil.copytree(task.folder, tmp_path, dirs_exist_ok=True)
    changed = SPLITS._replace(train=SPLITS.train[1:])
    monkeypatch.setattr(task_module, "read_splits", lambda _: changed)
    with pytest.raises(DataChanged, match="training data are not those that"):
        train(tmp_path, resume=True)
    # What is only measured on may change.
    measured = SPLITS._replace(validation=SPLITS.validation[:1])
    assert CodeTask(CONFIG, tmp_path).fingerprint(measured) == task.fingerprint(SPLITS)


def test_a_shut_gate_ends_the_run_which_is_saved(tmp_path):
    gate = Gate("bits_per_byte", at_most=0.1, steps=2)
    config = replace(CONFIG, {"phases": (Phase(gate), Phase())})
    with pytest.raises(Ended, match="phase 1 of 2 expected bits_per_byte at most"):
        train(tmp_path, config)
    assert CheckpointReader(tmp_path / run.CHECKPOINTS).steps() == [1, 2]


def test_the_border_warms_up_by_the_step_alone():
    task = CodeTask(replace(CONFIG, {"model.L_cycles": 3, "border.max_calls": 4}), "nowhere")
    calls = [task.model_at(step).schedule for step in range(8)]
    expected = [Schedule.from_gradient_calls(1, 3, n) for n in (2, 2, 3, 3, 4, 4, 4, 4)]
    assert calls == expected
    assert task.model == task.model_at(7)
    assert len({task.model_at(step) for step in range(8)}) == 3
    plain = CodeTask(replace(CONFIG, {"border": None, "recompute_calls": True}), "nowhere")
    own = plain.config.model.schedule
    assert plain.model_at(0).schedule == dataclasses.replace(own, recompute=True)


def test_a_trained_model_travels_as_a_folder(whole, tmp_path):
    task, state = whole
    variables = state.averaged_variables
    save_language_model(tmp_path / "model", task.trained(variables))
    loaded = load_language_model(tmp_path / "model")
    text = "def f(x):\n"
    assert loaded.tokenizer.encode(text) == task.tokenizer.encode(text)
    assert loaded.model.config.eos_tokens == task.tokenizer.eos_tokens
    assert loaded.model.config.bos_token == task.tokenizer.bos_token
    assert loaded.model.config.max_length == 48
    tokens = jnp.asarray([task.tokenizer.encode(text)])
    expected = task.model.model.logits(variables, tokens)
    np.testing.assert_allclose(loaded.model.logits(loaded.variables, tokens), expected, atol=1e-5)


def test_a_checkpoint_is_read_again(whole):
    task, state = whole
    variables, step = restore(CodeTask(CONFIG, task.folder), task.folder, ONE_DEVICE)
    assert step == 8
    jax.tree.map(np.testing.assert_array_equal, variables, state.averaged_variables)


def test_bits_per_byte_is_that_of_the_labels_one_by_one(whole):
    task, state = whole
    variables = state.averaged_variables
    texts = SPLITS.validation
    source = tokenize(texts, task.tokenizer)
    batches = evaluation_batches(source, batch_size=2, row_tokens=48)
    found = bits_per_byte(task.model, variables, batches, task.token_bytes, ONE_DEVICE)
    sums = {}
    for text in texts:
        tokens = [*task.tokenizer.encode(text.text), task.tokenizer.eos_tokens[0]]
        logits = np.asarray(task.model.model.logits(variables, jnp.asarray([tokens])), np.float64)
        logs = logits[0] - np.log(np.exp(logits[0]).sum(-1, keepdims=True))
        bits = -sum(logs[t, tokens[t + 1]] for t in range(len(tokens) - 1)) / math.log(2)
        sums[text.language] = bits, len(text.text) - 1  # the first byte is predicted by nothing
    for language, (bits, of_bytes) in sums.items():
        assert found[f"bits_per_byte_{language}"] == pytest.approx(bits / of_bytes, rel=1e-5)
    total = [sum(x) for x in zip(*sums.values(), strict=True)]
    assert found["bits_per_byte"] == pytest.approx(total[0] / total[1], rel=1e-5)


def test_flops_of_a_plain_transformer_by_hand():
    model = LlamaConfig(
        vocab_size=7,
        hidden_size=8,
        num_layers=3,
        num_heads=2,
        num_key_heads=2,
        head_size=4,
        mlp_width=16,
        tie_embeddings=False,
    )
    config = replace(CONFIG, {"model": model, "border": None, "phases": (Phase(),)})
    T = config.data.row_tokens
    weights = 3 * (4 * 8 * 8 + 3 * 8 * 16) + 8 * 7
    attention = 3 * 2 * T * 8  # scores and sums; their backward pass also makes the scores again
    flops = CodeTask(config, "nowhere").flops_per_token()
    assert 2 * 3 * (weights + attention) <= flops <= 2 * 3 * weights + 2 * 3.5 * attention


@pytest.mark.thorough
def test_a_frozen_foundation_is_started_from_and_stays(tmp_path):
    foundation = LlamaConfig(
        vocab_size=260,
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        num_key_heads=1,
        head_size=8,
        mlp_width=32,
    )
    base = replace(CONFIG, {"model": foundation, "border": None, "loop.steps": 2})
    task, state = train(tmp_path / "foundation", base)
    save_language_model(tmp_path / "model", task.trained(state.averaged_variables))
    reasoned = HrmLlamaConfig(foundation, layers_per_level=1, H_cycles=1, L_cycles=1)
    origin = str(tmp_path / "model")
    changes = {"model": reasoned, "foundation": origin, "data.tokenizer": "foundation"}
    for frozen in (True, False):
        config = replace(base, {**changes, "model.freeze_foundation": frozen})
        task, trained = train(tmp_path / f"frozen {frozen}", config)
        values = task.model.model.parts(trained.variables)[1].params
        same = jax.tree.map(
            lambda a, b: bool((a == b).all()), values, state.averaged_variables.params
        )
        assert all(jax.tree.leaves(same)) == frozen
        began = begin(task, ONE_DEVICE).averaged_variables
        tokens = jnp.asarray([[1, 2, 3]])
        np.testing.assert_allclose(
            task.model.model.logits(began, tokens),
            load_language_model(origin).model.logits(state.averaged_variables, tokens),
            atol=1e-5,
        )


def test_a_foundation_of_other_sizes_is_refused(whole, tmp_path):
    task, state = whole
    save_language_model(tmp_path / "model", task.trained(state.averaged_variables))
    changes = {"foundation": str(tmp_path / "model"), "model.hidden_size": 32}
    other = CodeTask(replace(CONFIG, changes), tmp_path)
    with pytest.raises(ConfigError, match="foundation: expected a model of the sizes of the conf"):
        begin(other, ONE_DEVICE)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.vocab_size: expected at least the 260 tokens"):
        CodeTask(replace(CONFIG, {"model.vocab_size": 256}), tmp_path).load()


def test_a_phase_chooses_languages_and_short_texts():
    assert {text.language for text in chosen(SPLITS.train, Phase(languages=("c",)))} == {"c"}
    assert len(chosen(SPLITS.train, Phase(longest_bytes=40))) == len(FUNCTIONS)
    with pytest.raises(ConfigError, match="phases: expected texts in every phase"):
        chosen(SPLITS.train, Phase(languages=("rust",)))


def test_an_evaluation_takes_texts_of_each_language_and_cuts_them():
    found = CodeEvaluationConfig(texts=2, longest_bytes=5).chosen(SPLITS.train)
    assert [(text.language, len(text.text)) for text in found] == [("c", 5)] * 2 + [
        ("python", 5)
    ] * 2
    assert len(CodeEvaluationConfig(texts=0).chosen(SPLITS.train)) == len(SPLITS.train)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_tokens": 100}, "batch_tokens: expected a multiple of the 48 tokens of a row"),
        ({"phases": ()}, "phases: expected one or more"),
        ({"phases": (Phase(Gate(steps=3)),)}, r"phases\[0\]\.gate\.steps: expected a multiple of"),
        ({"border.max_calls": 9}, r"border\.max_calls: expected at most the 3 calls of the model"),
        ({"validation.samples": -1}, r"validation\.samples: expected 0 or more, got -1"),
        ({"data.row_tokens": 4}, r"data\.row_tokens: expected 8 or more, got 4"),
        ({"model": LlamaConfig()}, r"border\.max_calls: expected at most the 0 calls of the model"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, changes)


def test_phases_know_languages():
    with pytest.raises(
        ConfigError,
        match=r"languages\[0\]: expected one of 'python', .*; leave it",
    ):
        Phase(languages=("cobol",))
    assert json.loads(to_json(CONFIG))["phases"][0]["languages"] == ["python"]
