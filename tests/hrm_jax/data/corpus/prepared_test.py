"""Corpora: made, read back, tokenized; the report; the way to batches."""

import shutil

import numpy as np
import pytest

from hrm_jax.data.corpus import prepared
from hrm_jax.data.corpus.benchmarks import Benchmarks
from hrm_jax.data.corpus.corpus_dataset_builder import NO_LICENCE, Builder, CorpusConfig
from hrm_jax.data.corpus.documents import Document, Project
from hrm_jax.data.corpus.filters import Count, standard_filters
from hrm_jax.data.storage import Damaged
from hrm_jax.data.text import batches
from hrm_jax.data.text.languages import LANGUAGES
from hrm_jax.data.text.tokenizers import ByteTokenizer, train_bpe

PROBLEM = "Write a function that turns a list of integers into the nested sum of its odd parts."


def _code(number):
    return f'def greet_{number}(name):\n    print(f"hello {number}, {{name}}!")\n'


def _project(name, files, split="train", licence: str | None = "MIT"):
    content = [(path, text.encode()) for path, text in files.items()]
    return Project(name, "1.0", licence, lambda: iter(content), split)


def _config(**changes):
    projects = [
        _project("b", {"a.py": _code(1), "q.sql": "SELECT 1 FROM birds;\n", "c.bin": "x"}),
        _project("a", {"a.py": _code(2), "planted.py": f"# {PROBLEM}\n" + _code(3)}),
        _project("c", {"a.py": _code(4), "again.py": _code(1)}, split="validation"),
        _project("d", {"a.py": _code(5)}, licence="GPL-3.0-only"),
        _project("e", {"a.py": _code(6)}, licence=None),
    ]
    filters = standard_filters(Benchmarks([PROBLEM]))
    return CorpusConfig(name="small", projects=projects, filters=filters, **changes)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepared.prepare(_config(), folder)
    return folder


def test_documents_come_back_in_order_by_split(data_dir):
    folder = prepared.find("small", data_dir)
    assert list(prepared.read_documents(folder, "train")) == [
        Document("a", "a.py", "python", _code(2)),
        Document("b", "a.py", "python", _code(1)),
        Document("b", "q.sql", "sql", "SELECT 1 FROM birds;\n"),
    ]
    # The duplicate of a training document is gone, though it lies in another split.
    held_out = list(prepared.read_documents(folder, "validation"))
    assert held_out == [Document("c", "a.py", "python", _code(4))]


def test_the_report_says_what_was_kept_and_what_was_not(data_dir):
    report = prepared.read_report(prepared.find("small", data_dir))
    size = len(_code(1))
    assert report.kept == {
        "train": {"python": Count(2, 2 * size), "sql": Count(1, 21)},
        "validation": {"python": Count(1, size)},
    }
    assert report.removed == {
        "benchmark": Count(1, len(PROBLEM) + 3 + size),
        "duplicate": Count(1, size),
        NO_LICENCE: Count(2, 2 * size),
    }
    assert sorted(project["name"] for project in report.projects) == list("abcde")
    assert {
        "name": "c",
        "version": "1.0",
        "licence": "MIT",
        "split": "validation",
    } in report.projects


def test_any_licence_and_fewer_languages(tmp_path):
    seen = []
    config = _config(
        any_licence=True, languages=["python"], on_project=lambda project: seen.append(project.name)
    )
    report = prepared.read_report(prepared.prepare(config, tmp_path))
    assert report.kept["train"] == {"python": Count(4, 4 * len(_code(1)))}
    assert sorted(seen) == list("abcde")


def test_making_a_corpus_again_replaces_it(tmp_path):
    prepared.prepare(_config(), tmp_path)
    config = CorpusConfig(name="small", projects=[_project("z", {"a.py": _code(9)})])
    folder = prepared.prepare(config, tmp_path)
    assert [document.project for document in prepared.read_documents(folder, "train")] == ["z"]


@pytest.mark.parametrize("make", [ByteTokenizer, lambda: train_bpe([_code(0)] * 3, 280)])
def test_sources_are_tokenized_once(data_dir, make, monkeypatch):
    tokenizer = make()
    source = prepared.load_source("small", "train", tokenizer, data_dir)
    texts = [
        tokenizer.decode(source.tokens[start:end].tolist())
        for start, end in zip(source.starts, source.ends, strict=True)
    ]
    assert texts == [_code(2), _code(1), "SELECT 1 FROM birds;\n"]
    assert [LANGUAGES[number] for number in source.languages] == ["python", "python", "sql"]
    monkeypatch.setattr(tokenizer, "encode", None, raising=False)
    again = prepared.load_source("small", "train", tokenizer, data_dir)
    for name, value in vars(source).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    batch = next(batches.text_batches(again, batches.TextConfig(2, row_tokens=64)))
    assert batch["tokens"].shape == (2, 64)


def _copied(data_dir, tmp_path):
    ignore = shutil.ignore_patterns("tokens-*")
    return prepared.find("small", shutil.copytree(data_dir, tmp_path / "data", ignore=ignore))


@pytest.mark.parametrize("content", [b"", b"PK", b"{}"])
def test_damaged_tokens_are_named_and_made_again(data_dir, tmp_path, caplog, content):
    folder = _copied(data_dir, tmp_path)
    expected = prepared.load_source(folder, "train", ByteTokenizer())
    (tokens,) = folder.glob("tokens-train-*.npz")
    tokens.write_bytes(content)
    found = prepared.load_source(folder, "train", ByteTokenizer())
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    assert f"prepared data are damaged: {tokens}" in caplog.text
    with np.load(tokens) as again:
        np.testing.assert_array_equal(again["tokens"], expected.tokens)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset_info.json", b""),
        ("dataset_info.json", b'{"name": "corpus", "spl'),
        ("dataset_info.json", b'{"name": "corpus", "version": "1.0.0"}'),
        ("dataset_info.json", None),
        ("features.json", b"[]"),
        ("corpus-train.array_record*", b"x" * 100_000),
        ("corpus-train.array_record*", None),
        ("metadata.json", b"{}"),
        ("metadata.json", b"]"),
    ],
)
def test_a_damaged_corpus_says_how_it_is_made_again(data_dir, tmp_path, name, content):
    folder = _copied(data_dir, tmp_path)
    (path,) = folder.glob(name)
    path.unlink() if content is None else path.write_bytes(content)
    message = f"prepared data are damaged: {folder}.*make_corpus, with the flags of before"
    with pytest.raises(Damaged, match=message):
        prepared.check(prepared.find("small", tmp_path / "data"))
    if name == "metadata.json":
        return
    with pytest.raises(Damaged, match=message):
        list(prepared.read_documents(prepared.find("small", tmp_path / "data"), "train"))


def test_what_is_not_prepared_says_how_to_prepare_it(data_dir):
    with pytest.raises(FileNotFoundError, match="run python -m experiments"):
        prepared.load_source("smal", "train", ByteTokenizer(), data_dir)
    with pytest.raises(ValueError, match="has the splits train, validation, not 'test'"):
        prepared.load_source("small", "test", ByteTokenizer(), data_dir)


def test_an_empty_corpus_says_what_was_removed(tmp_path):
    config = CorpusConfig(name="none", projects=[_project("a", {"a.py": _code(1)}, licence=None)])
    with pytest.raises(ValueError, match=r"removed by: project's licence \(1 files\)"):
        prepared.prepare(config, tmp_path)
    with pytest.raises(FileNotFoundError):
        prepared.find("none", tmp_path)


def test_a_corpus_is_made_by_its_own_configuration(tmp_path):
    with pytest.raises(TypeError, match="made by a CorpusConfig"):
        Builder(data_dir=str(tmp_path))
