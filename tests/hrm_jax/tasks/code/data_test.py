"""What a run learns from: a corpus as files or exercises, and MBPP's tasks with it."""

import dataclasses
import gzip
import json

import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.data.corpus.corpus_dataset_builder import CorpusConfig
from hrm_jax.data.corpus.documents import Project
from hrm_jax.data.corpus.prepared import prepare
from hrm_jax.data.storage import Damaged
from hrm_jax.data.text import at_hand
from hrm_jax.data.text.source import Text
from hrm_jax.evaluation.suites.named import DATA_VARIABLE
from hrm_jax.tasks.code.config import CodeDataConfig
from hrm_jax.tasks.code.data import read_splits

EXERCISES = CodeDataConfig(form="exercises", longest_exercise=600)


@pytest.fixture(autouse=True)
def files(monkeypatch):
    """In place of all code at hand: one file in each split, a short and a long function in each."""

    def texts_at_hand():
        names = ("train", "validation", "test")
        return {name: [Text(_file(name), language="python")] for name in names}

    monkeypatch.setattr(at_hand, "texts_at_hand", texts_at_hand)


def _file(name):
    functions = (f"def {name}_{n}():\n    'Adds.'\n    return {'1 + ' * n}1\n" for n in (3, 300))
    return "\n\n".join(functions)


def _head(name):
    return f"def {name}_3():\n    'Adds.'"


@pytest.fixture
def mbpp(tmp_path):
    """A folder with MBPP's file: a task of each split, and those that few-shot prompts show."""
    rows = [
        {
            "task_id": number,
            "text": f"Task {number}.",
            "code": f"def f():\r\n    return {number}",
            "test_list": [f"assert f() == {number}"],
            "test_setup_code": "",
        }
        for number in (2, 3, 4, 11, 511, 601, 602)
    ]
    with gzip.open(tmp_path / "mbpp.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_exercises_have_a_prefix_and_files_have_none():
    files = read_splits(CodeDataConfig())
    tasks = read_splits(EXERCISES)
    assert not any(text.prefix for text in files.train)
    for name, split in tasks._asdict().items():
        assert split == (Text("\n    return 1 + 1 + 1 + 1\n", _head(name), "python"),)


def test_mbpp_gives_its_training_tasks_and_holds_out_those_of_its_validation(mbpp):
    config = dataclasses.replace(EXERCISES, tasks="mbpp", suite_data=str(mbpp))
    with_tasks = read_splits(config)
    without = read_splits(EXERCISES)
    train, validation = (
        with_tasks._asdict()[name][len(without._asdict()[name]) :]
        for name in with_tasks._fields[:2]
    )
    assert [text.text for text in train] == [f"def f():\n    return {n}\n" for n in (601, 602)]
    assert [text.text for text in validation] == ["def f():\n    return 511\n"]
    # The line's end belongs to the prompt, as it does where the suite is measured.
    assert train[0].prefix == '"""\nTask 601.\nassert f() == 601\n"""\n'
    assert with_tasks.test == without.test


def test_a_missing_file_of_mbpp_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=f"data.suite_data: expected .*{DATA_VARIABLE}"):
        read_splits(dataclasses.replace(EXERCISES, tasks="mbpp"))
    with pytest.raises(ConfigError, match=r"data\.tasks: expected mbpp\.jsonl or mbpp\.jsonl\.gz"):
        read_splits(dataclasses.replace(EXERCISES, tasks="mbpp", suite_data=str(tmp_path)))


def test_a_corpus_without_exercises_is_told():
    with pytest.raises(ConfigError, match=r"data.corpus: expected texts in train, got 0"):
        read_splits(dataclasses.replace(EXERCISES, longest_exercise=10))


def test_a_corpus_without_a_split_or_damaged_is_told(tmp_path):
    projects = [Project("a", "1", "MIT", lambda: iter([("a.py", b"print(1)\n")]), "train")]
    folder = prepare(CorpusConfig(name="c", projects=projects), tmp_path)
    with pytest.raises(
        ConfigError, match=r"data.corpus: .* has the splits train, not 'validation'"
    ):
        read_splits(CodeDataConfig(corpus=str(folder)))
    (folder / "dataset_info.json").write_bytes(b"")
    with pytest.raises(Damaged, match=r"damaged: .*make_corpus, with the flags of before"):
        read_splits(CodeDataConfig(corpus="c", data_dir=str(tmp_path)))


def test_a_corpus_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match=r"data.corpus"):
        read_splits(CodeDataConfig(corpus="no-such-corpus"))
