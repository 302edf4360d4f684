"""Files of every format that a command reads: a maker of an intact one, and a reader of each."""

import dataclasses
import gzip
import json
import pathlib
import shutil
import types
from collections.abc import Callable
from typing import Any

import jax
from absl import flags
from absl.testing import flagsaver

from experiments.assignments import reading, template
from experiments.codegen import prompts
from hrm_jax.convert.language import LoadedLanguageModel, load_language_model, save_language_model
from hrm_jax.convert.llama import llama_weights
from hrm_jax.convert.model_folder import load_model, save_model
from hrm_jax.convert.published_config import read_arch
from hrm_jax.core.config import to_dict
from hrm_jax.data.corpus import prepared
from hrm_jax.data.corpus.benchmarks import read_benchmark
from hrm_jax.data.corpus.packages import read_manifest
from hrm_jax.data.sudoku import puzzle_files
from hrm_jax.data.text.chat import ChatTemplate
from hrm_jax.data.text.tokenizers import train_bpe
from hrm_jax.evaluation.evaluate import read_completions
from hrm_jax.evaluation.suites.humanevalpack import load_humanevalpack
from hrm_jax.evaluation.suites.mbpp import load_mbpp
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.planning.forecast import learned
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore
from hrm_jax.training.learned_data import check_unchanged
from hrm_jax.training.run_folder import read_config
from hrm_jax.training.run_log import read_metrics, working_folder
from tests.golden.record_runs import RECORDINGS
from tests.hrm_jax.convert.gguf_files import TOKENS, write_gguf
from tests.hrm_jax.planning.formats import files_test

FLAGS = flags.FLAGS
_LLAMA = LlamaConfig(
    vocab_size=280,
    hidden_size=8,
    num_layers=1,
    num_heads=2,
    num_key_heads=1,
    head_size=4,
    mlp_width=8,
    eos_tokens=(256,),
)
_PUZZLE = PuzzleModelConfig(
    vocab_size=3, seq_len=4, hidden_size=4, num_heads=1, H_layers=1, L_layers=1
)
_QUESTION = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
      make: writes an intact file or folder into a folder; returns what `read` takes.
      read: reads it, as the commands do.
      file: the file to damage, within what `make` returned; empty for that itself.
    """

    make: Callable[[pathlib.Path], pathlib.Path]
    read: Callable[[pathlib.Path], Any]
    file: str = ""

    def damage(self, place: pathlib.Path, damage: Callable[[bytes], bytes]) -> None:
        """Replaces the file in what `make` returned by what `damage` makes of its content.

        A compressed file is damaged within, or else little but its checksum would be tested.
        """
        path = place / self.file if self.file else place
        content = path.read_bytes()
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(damage(gzip.decompress(content))))
        else:
            path.write_bytes(damage(content))


def _language_model(folder: pathlib.Path) -> pathlib.Path:
    model = Llama(_LLAMA)
    tokenizer = train_bpe(["def f(a): return a"] * 3, 280)
    template = ChatTemplate("{{ messages }}")
    variables = model.init(jax.random.key(0))
    loaded = LoadedLanguageModel(model, variables, tokenizer, template)
    save_language_model(folder / "language", loaded)
    place = folder / "language"
    (place / "generation_config.json").write_text('{"eos_token_id": [256, 257]}')
    (place / "special_tokens_map.json").write_text('{"pad_token": {"content": "<|endoftext|>"}}')
    return place


def _sharded(folder: pathlib.Path) -> pathlib.Path:
    place = _language_model(folder)
    (place / "model.safetensors").rename(place / "model-00001-of-00001.safetensors")
    names = llama_weights(_LLAMA, Llama(_LLAMA).init(jax.random.key(0)))
    weight_map = dict.fromkeys(names, "model-00001-of-00001.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    return place


def _gguf(folder: pathlib.Path) -> pathlib.Path:
    config = dataclasses.replace(
        _LLAMA, vocab_size=len(TOKENS), hidden_size=32, head_size=16, eos_tokens=(0,)
    )
    path = folder / "model.gguf"
    variables = Llama(config).init(jax.random.key(0))
    write_gguf(path, config, llama_weights(config, variables))
    return path


def _puzzle_model(folder: pathlib.Path) -> pathlib.Path:
    variables = PuzzleModel(_PUZZLE).init(jax.random.key(0))
    save_model(folder / "puzzle", _PUZZLE, variables)
    return folder / "puzzle"


def _checkpoint(folder: pathlib.Path) -> pathlib.Path:
    store = CheckpointStore(folder / "checkpoints", keep=1)
    store.save(3, _STATE, {"note": 1})
    return folder / "checkpoints" / "step_00000003"


_STATE = {"a": jax.numpy.arange(3.0)}


def _read_checkpoint(step: pathlib.Path) -> None:
    CheckpointReader(step.parent).restore(3, _STATE)


def _text(name: str, text: str) -> Callable[[pathlib.Path], pathlib.Path]:
    def make(folder: pathlib.Path) -> pathlib.Path:
        path = folder / name
        content = text.encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return make


def _lines(name: str, *records: Any) -> Callable[[pathlib.Path], pathlib.Path]:
    return _text(name, "".join(json.dumps(record) + "\n" for record in records))


def _corpus(folder: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(RECORDINGS / "code" / "corpus", folder / "corpus")


def _read_corpus(folder: pathlib.Path) -> None:
    prepared.read_report(folder)
    prepared.check(folder)


def _read_puzzles(path: pathlib.Path) -> None:
    puzzle_files.read(path, skip_bad=False)


def _read_prompts(path: pathlib.Path) -> None:
    FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(prompt_file=[str(path)], chat=path.suffix == ".json"):
        prompts.read_prompts()


def _work(backlog: str, text: str) -> Callable[[pathlib.Path], pathlib.Path]:
    """Returns what writes a backlog of that name, and a team."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        (folder / backlog).write_text(text)
        (folder / "team.yaml").write_text(template.TEAM)
        return folder

    return make


def _read_work(backlog: str) -> Callable[[pathlib.Path], Any]:
    """Returns what reads a folder that `_work` wrote, as the command does."""

    def read(folder: pathlib.Path) -> None:
        needs_team = not backlog.endswith((".dzn", ".sm"))
        team = str(folder / "team.yaml") if needs_team else None
        given: Any = types.SimpleNamespace(
            backlog=str(folder / backlog), team=team, start=None, now=None, accept=None
        )
        reading.read_instance(given)

    return read


_BACKLOGS = {
    "backlog.csv": template.BACKLOG,
    "issues.json": json.dumps(files_test.GITHUB),
    "jira.csv": files_test.JIRA,
    "small.dzn": files_test.DZN,
    "small.sm": files_test.SM,
}
_ORIGINAL = {"hidden_size": 4, "num_heads": 1, "H_cycles": 2, "L_cycles": 2, "expansion": 4}
_TASK = {
    "task_id": 2,
    "text": "Add.",
    "prompt": "Add.",
    "code": "def f(a):\n  return a",
    "test_list": ["assert f(1) == 1"],
    "test_setup_code": "",
    "test_imports": [],
    "challenge_test_list": [],
}
_PACK = {
    "task_id": "Python/0",
    "prompt": "def f(a):\n",
    "declaration": "def f(a):\n",
    "canonical_solution": "    return a\n",
    "buggy_solution": "    return 0\n",
    "test": "assert f(1) == 1",
    "entry_point": "f",
}
_COMPLETION = {
    "task_id": "a",
    "sample": 0,
    "seed": 1,
    "completion": "x",
    "parses": True,
    "passed": False,
    "result": "failed",
    "detail": "",
    "seconds": 0.5,
}
_PACKAGE = {"registry": "npm", "name": "a", "version": "1", "licence": "MIT"}
_MANIFEST = {"name": "small", "languages": ["python"], "packages": [_PACKAGE]}
FORMATS = {
    **{
        f"language model: {name}": Format(_language_model, load_language_model, name)
        for name in (
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "generation_config.json",
            "special_tokens_map.json",
            "chat_template.jinja",
        )
    },
    "index of shards": Format(_sharded, load_language_model, "model.safetensors.index.json"),
    "gguf": Format(_gguf, load_language_model),
    "puzzle model: config.json": Format(_puzzle_model, load_model, "config.json"),
    "puzzle model: weights": Format(_puzzle_model, load_model, "weights.safetensors"),
    "checkpoint: state.json": Format(_checkpoint, _read_checkpoint, "state.json"),
    "checkpoint: manifest.json": Format(_checkpoint, _read_checkpoint, "manifest.json"),
    **{
        f"corpus: {name}": Format(_corpus, _read_corpus, name)
        for name in (
            "dataset_info.json",
            "features.json",
            "metadata.json",
            "corpus-test.array_record-00000-of-00001",
        )
    },
    "puzzles, lines": Format(_text("puzzles.txt", f"{_QUESTION}  # easy\n" * 2), _read_puzzles),
    "puzzles, table": Format(
        _text("puzzles.csv", f"question,rating\n{_QUESTION},1\n"), _read_puzzles
    ),
    "puzzles, compressed": Format(
        _text("puzzles.txt.gz", "\n".join([_QUESTION, _QUESTION])), _read_puzzles
    ),
    "data of a run": Format(
        _text("data.json", json.dumps([{"step": 0, "fingerprint": "a"}])),
        lambda path: check_unchanged(path.parent, 0, "a"),
    ),
    "environment of a run": Format(
        _text("environment.json", json.dumps({"working_folder": "/"})),
        lambda path: working_folder(path.parent),
    ),
    "config of a run": Format(
        _text("config.json", json.dumps(to_dict(_PUZZLE))),
        lambda path: read_config(path.parent, PuzzleModelConfig),
    ),
    "metrics of a run": Format(
        _lines("metrics.jsonl", {"step": 1, "time": 1.0, "kind": "train", "loss": 0.5}),
        lambda path: read_metrics(path.parent),
    ),
    "arch, JSON": Format(_text("arch.json", json.dumps({"arch": _ORIGINAL})), read_arch),
    "arch, YAML": Format(
        _text("arch.yaml", "arch:\n  hidden_size: 4\n  H_cycles: 2\n"),
        read_arch,
    ),
    "prompts, lines": Format(
        _lines("prompts.jsonl", {"prompt": "a", "suffix": "b"}, {"prompt": "c"}), _read_prompts
    ),
    "prompts, messages": Format(
        _text("chat.json", json.dumps([{"role": "user", "content": "a"}])), _read_prompts
    ),
    "suite: mbpp": Format(
        _lines("mbpp.jsonl.gz", *({**_TASK, "task_id": n} for n in (2, 3, 4, 11))),
        lambda path: load_mbpp(path.parent),
    ),
    "suite: humanevalpack": Format(
        _lines("humanevalpack_python.jsonl.gz", _PACK),
        lambda path: load_humanevalpack(path.parent, "python"),
    ),
    "completions of an evaluation": Format(
        _lines("completions.jsonl", _COMPLETION), read_completions
    ),
    "benchmark of a corpus": Format(
        _lines("bench.jsonl", {"prompt": "a"}), lambda path: list(read_benchmark(path))
    ),
    **{
        f"tasks: {name}": Format(_work(name, text), _read_work(name), name)
        for name, text in _BACKLOGS.items()
    },
    "people": Format(
        _work("backlog.csv", template.BACKLOG), _read_work("backlog.csv"), "team.yaml"
    ),
    "history of issues": Format(
        _text("past.csv", "key,title,size,finished\na,First,2,2026-01-05\nb,Second,3,2026-01-02\n"),
        learned.read_history,
    ),
    "packages of a corpus": Format(_text("packages.json", json.dumps(_MANIFEST)), read_manifest),
}
"""What commands read, by name."""
