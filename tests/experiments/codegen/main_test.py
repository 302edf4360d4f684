"""The command as its users run it: trains a model of code, and refuses what cannot be."""

import json
import re

import pytest

from hrm_jax.data.corpus.corpus_dataset_builder import CorpusConfig
from hrm_jax.data.corpus.documents import Project
from hrm_jax.data.corpus.prepared import prepare
from hrm_jax.training.run_log import read_metrics
from tests.experiments.conftest import Experiment

TINY = [
    "--preset=minute",
    "--config.data.corpus=small",
    "--config.model.hidden_size=16",
    "--config.model.num_heads=2",
    "--config.model.head_size=8",
    "--config.data.row_tokens=64",
    "--config.batch_tokens=128",
    "--config.validation.samples=1",
    "--config.validation.sample_tokens=4",
    "--config.test.samples=2",
    "--config.test.sample_tokens=4",
    "--config.loop.steps=4",
    "--config.loop.log_every=2",
    "--config.loop.evaluate_every=2",
    "--config.loop.checkpoint_every=2",
]


def project(number, split):
    text = f"def f{number}(x):\n    return x * {number} + {number * 17 % 29}\n"
    files = [(f"f{number}.py", text.encode()), (f"f{number}.h", f"int f{number};\n".encode())]
    return Project(f"project{number}", "", "MIT", lambda: iter(files), split)


@pytest.fixture(scope="module")
def codegen(tmp_path_factory):
    """The experiment with a small corpus, run in an empty folder."""
    data = tmp_path_factory.mktemp("data")
    splits = {0: "validation", 1: "test"}
    projects = [project(n, splits.get(n % 6, "train")) for n in range(18)]
    prepare(CorpusConfig(name="small", projects=projects), data)
    return Experiment(data, tmp_path_factory.mktemp("work"), program="experiments.codegen")


@pytest.fixture(scope="module")
def trained(codegen):
    """The finished command, and the folder that it was told to train in."""
    folder = codegen.folder / "trained"
    done = codegen.run(*TINY, f"--run={folder}")
    assert done.returncode == 0, done.stderr
    return done, folder


def test_a_run_leaves_everything_in_its_folder(trained):
    _, folder = trained
    config = json.loads((folder / "config.json").read_text())
    assert config["model"]["type"] == "HrmTextConfig"
    records = [(record["step"], record["split"]) for record in read_metrics(folder)]
    assert records == [(2, "train"), (2, "validation"), (4, "train"), (4, "validation")]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((folder / "report.json").read_text())
    assert report["trained_tokens"] == 4 * 128
    assert report["training_flops_per_token"] > 0
    assert report["after"]["bits_per_byte"] < report["before"]["bits_per_byte"]
    assert report["after"].keys() >= {"bits_per_byte_python", "bits_per_byte_c", "parse_rate"}
    samples = (folder / "samples.txt").read_text(encoding="utf-8")
    assert re.search(r"before training: .* of 2 parse(.|\n)*after training: .* of 2 parse", samples)
    assert {"config.json", "model.safetensors", "tokenizer_config.json"} <= {
        path.name for path in (folder / "model").iterdir()
    }


def test_a_run_tells_how_it_goes_and_what_came_out(trained):
    done, folder = trained
    assert f"training in {folder}: a tiny HRM-Text" in done.stdout
    progress = re.findall(
        r"^step (\d)/4: \d+%, .*\d bits/byte, loss \S+", done.stdout, re.MULTILINE
    )
    assert progress == ["2", "4"]
    assert "before training" in done.stdout
    assert re.search(r"│ bits_per_byte_python +│ +\d\.\d{3} │ +\d\.\d{3} │", done.stdout)
    assert f"--model={folder / 'model'}" in done.stdout
    assert "Traceback" not in done.stderr


def assert_refused(done, message):
    assert done.returncode == 2, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_is_used_once(codegen, trained):
    _, folder = trained
    again = codegen.run(*TINY, f"--run={folder}")
    assert_refused(again, r"error: .* holds a run already; add --resume")


@pytest.mark.thorough
def test_a_shut_gate_ends_with_a_report(codegen):
    phases = '--config.phases=({"gate": {"measure": "parse_rate", "at_least": 2.0, "steps": 2}},)'
    done = codegen.run(*TINY, phases, "--run=gated")
    assert_refused(done, r"^error: step 2: phase 1 of 1 expected parse_rate at least 2 within 2 st")


def test_an_unknown_corpus_says_how_to_make_it(codegen):
    done = codegen.run(*TINY, "--config.data.corpus=smal", "--run=other")
    assert_refused(done, r"^error: data.corpus: smal is not prepared.*make_corpus")
