"""Files of every format that a command reads, and ways in which they get damaged.

`FORMATS` has a maker of an intact file and a reader of each; `damaged` draws a damaged copy.
"""

import dataclasses
import gzip
import io
import itertools
import json
import pathlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
from absl import flags
from hypothesis import strategies as st

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
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore
from hrm_jax.training.learned_data import check_unchanged
from hrm_jax.training.run_folder import read_config
from hrm_jax.training.run_log import read_metrics, working_folder
from tests.golden.record_runs import RECORDINGS
from tests.hrm_jax.convert.gguf_files import TOKENS, write_gguf

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
_OTHER_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**70, 0.5, -1e300),
    *("", "x", "\ud800", "0", [], {}, [None]),
]
_ATOMS: st.SearchStrategy[Any] = st.sampled_from(_OTHER_VALUES)
_ALIKE = 4
"""So many values of a list or an object are changed, as those of a vocabulary are all alike."""


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


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """Returns a strategy of damaged copies of a file's content."""
    ways = [_cut(content), _changed(content), _replaced(content), st.sampled_from(_OTHERS)]
    for split in (b"\0", b"\n"):  # one value, or one a line
        try:
            trees = [json.loads(part) for part in content.strip().split(split)]
        except ValueError:
            continue
        # Text that is still JSON gets further than any other.
        return st.one_of([*ways, *[_changed_json(trees)] * 4])
    return st.one_of(ways)


def with_other_values(content: bytes) -> Iterator[bytes]:
    """Yields JSON with each of its values replaced by each kind of other, and with it left out.

    Of several lines the first is changed; what is no JSON yields nothing.
    """
    for split in (b"\0", b"\n"):
        first, _, rest = content.strip().partition(split)
        try:
            tree = json.loads(first)
        except ValueError:
            continue
        for other in _with_other_values(tree):
            yield json.dumps(other).encode() + (split + rest if rest else b"")
        return


def _with_other_values(tree: Any) -> Iterator[Any]:
    yield from _OTHER_VALUES
    if isinstance(tree, dict):
        for key in itertools.islice(tree, None if len(tree) < 50 else _ALIKE):
            yield {name: value for name, value in tree.items() if name != key}
            for other in _with_other_values(tree[key]):
                yield {**tree, key: other}
    elif isinstance(tree, list):
        for place in range(min(len(tree), _ALIKE)):
            for other in _with_other_values(tree[place]):
                yield [*tree[:place], other, *tree[place + 1 :]]


def _cut(content: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(content)).map(lambda end: content[:end])


def _changed(content: bytes) -> st.SearchStrategy[bytes]:
    """Changes some bytes; those of headers, which come first, as often as all others."""
    near = st.integers(0, min(len(content), 256) - 1)
    places = st.one_of(near, st.integers(0, len(content) - 1))

    def change(edits: list[tuple[int, int]]) -> bytes:
        changed = bytearray(content)
        for place, byte in edits:
            changed[place] = byte
        return bytes(changed)

    return st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4).map(change)


def _replaced(content: bytes) -> st.SearchStrategy[bytes]:
    """Replaces a part by a few other bytes, so that the rest is moved."""

    def replace(drawn: tuple[int, int, bytes]) -> bytes:
        place, length, other = drawn
        return content[:place] + other + content[place + length :]

    return st.tuples(st.integers(0, len(content)), st.integers(0, 40), st.binary(max_size=8)).map(
        replace
    )


@st.composite
def _changed_json(draw: st.DrawFn, trees: list[Any]) -> bytes:
    """Replaces, removes or adds a value somewhere in JSON, of which a line has each tree."""
    number = draw(st.integers(0, len(trees) - 1))
    tree = json.loads(json.dumps(trees[number]))
    here = tree
    while isinstance(here, dict | list) and here:
        key: Any = draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
        if not isinstance(here[key], dict | list) or not here[key] or draw(st.booleans()):
            what = draw(st.sampled_from(["replace", "remove", "add"]))
            if what == "remove":
                del here[key]
            elif what == "replace" or isinstance(here, list):
                here[key] = draw(_ATOMS)
            else:
                here[draw(st.sampled_from(["", "x", "name"]))] = draw(_ATOMS)
            break
        here = here[key]
    else:
        tree = draw(_ATOMS)
    lines = [*trees[:number], tree, *trees[number + 1 :]]
    return "\n".join(map(json.dumps, lines)).encode()


def _zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


_OTHERS = [
    b"",
    b"\0" * 64,
    b"null",
    b"[]",
    b"{}",
    b"[" * 5000,
    b'{"a": ' * 5000,
    b"\xff\xfe{\0}\0",
    b"\xef\xbb\xbf{}",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    b"<!DOCTYPE html><title>404</title>",
    gzip.compress(b"{}"),
    _zipped("a.json", b"{}"),
]
"""What lies in the place of a file: an empty one, a page of an error, another format."""


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
    FLAGS.prompt_file = [str(path)]
    FLAGS.chat = path.suffix == ".json"
    prompts.read_prompts()


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
    "packages of a corpus": Format(_text("packages.json", json.dumps(_MANIFEST)), read_manifest),
}
"""What commands read, by name."""
