"""Loading: preparation once, arrays equal to the files, damage mended, quiet, clear errors."""

import contextlib
import errno
import logging
import os
import resource
import shutil

import numpy as np
import pytest

from hrm_jax.data import pipeline, storage
from hrm_jax.data.sudoku import csv_format, generator, puzzle_files, rules, source, symmetry
from hrm_jax.data.sudoku.sudoku_dataset_builder import csv_config

PUZZLES = generator.generate(np.random.default_rng(0), 40)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    csv_format.write(folder / "train.csv", PUZZLES.take(slice(0, 30)), ["here"] * 30)
    csv_format.write(folder / "validation.csv", PUZZLES.take(slice(30, 40)), ["here"] * 10)
    return csv_config(folder / "train.csv", validation=folder / "validation.csv")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def test_arrays_are_the_puzzles_of_the_file_in_order(config, data_dir):
    for split, rows in (("train", slice(0, 30)), ("validation", slice(30, 40))):
        loaded = source.load_source(config, split, data_dir)
        expected = PUZZLES.take(rows)
        np.testing.assert_array_equal(rules.decode(loaded.inputs), expected.questions)
        np.testing.assert_array_equal(rules.decode(loaded.labels), expected.answers)
        np.testing.assert_array_equal(loaded.rating, expected.ratings)
        assert loaded.augment is symmetry.augment


def test_the_second_load_prepares_nothing(config, data_dir):
    source.load_source(config, "train", data_dir)
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    source.load_source(config, "train", data_dir)
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before


def test_two_processes_that_prepare_the_same_both_read_it(config, tmp_path, monkeypatch):
    prepare = source.Builder._split_generators

    def overtaken(builder, manager):
        monkeypatch.setattr(source.Builder, "_split_generators", prepare)
        source.load_source(config, "train", tmp_path)
        return prepare(builder, manager)

    monkeypatch.setattr(source.Builder, "_split_generators", overtaken)
    loaded = source.load_source(config, "train", tmp_path)
    np.testing.assert_array_equal(rules.decode(loaded.inputs), PUZZLES.questions[:30])


PREPARED = ("arrays-train.npz", "dataset_info.json", "features.json", "sudoku-train.array_record*")
DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) * 2 // 5],
    "other": lambda content: bytes(byte ^ 0x55 for byte in content),
    "foreign": lambda content: b"{}",
    "missing": None,
}


def damage(folder, name, kind):
    """Damages one file of prepared data; returns its path, which may hold a pattern."""
    (path,) = folder.rglob(name)
    if DAMAGES[kind] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGES[kind](path.read_bytes()))
    return path


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", PREPARED)
def test_damaged_data_are_named_and_prepared_again(config, data_dir, tmp_path, caplog, name, kind):
    expected = source.load_source(config, "train", data_dir)
    folder = shutil.copytree(data_dir, tmp_path / "data")
    path = damage(folder, name, kind)
    if path.suffix != ".npz" and kind != "missing":
        (path.parent / "arrays-train.npz").unlink(missing_ok=True)  # the records are read
    loaded = source.load_source(config, "train", folder)
    for field in ("inputs", "labels", "rating"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(expected, field))
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    if (path.suffix, kind) == (".npz", "missing"):  # as before the first load
        assert warned == []
        return
    (message,) = [record.getMessage() for record in warned]
    assert "prepared data are damaged: " in message
    assert str(path.parent) in message
    assert message.endswith("prepared again" if path.suffix != ".npz" else "made again")
    caplog.clear()
    source.load_source(config, "train", folder)
    assert not caplog.records
    assert not list(folder.glob(".making*"))


def test_the_bank_is_prepared_again_too(tmp_path, caplog, monkeypatch):
    small = PUZZLES.take(slice(0, 12))
    monkeypatch.setattr("hrm_jax.data.sudoku.puzzle_files.read", lambda path, skip_bad: small)
    expected = source.load_source("bank", "test", tmp_path)
    damage(tmp_path, "dataset_info.json", "empty")
    found = source.load_source("bank", "test", tmp_path)
    np.testing.assert_array_equal(found.inputs, expected.inputs)
    assert caplog.text.count("prepared again") == 1


def test_damaged_data_stay_where_they_cannot_be_prepared_again(
    config, data_dir, tmp_path, monkeypatch
):
    source.load_source(config, "train", data_dir)
    folder = shutil.copytree(data_dir, tmp_path / "data")
    path = damage(folder, "dataset_info.json", "cut")
    before = sorted(folder.rglob("*"))

    def fail(builder, manager):
        raise FileNotFoundError("the source is gone")

    monkeypatch.setattr(source.Builder, "_split_generators", fail)
    message = "prepared data are damaged: .*, and cannot be prepared again: the source is gone"
    with pytest.raises(storage.Damaged, match=message):
        source.load_source(config, "train", folder)
    assert path.exists()
    assert [file for file in before if file.is_file()] == [
        file for file in sorted(folder.rglob("*")) if file.is_file()
    ]


def test_what_may_not_be_read_is_not_damaged(config, data_dir, monkeypatch):
    source.load_source(config, "train", data_dir)

    def refuse(path):
        raise PermissionError("not yours")

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(PermissionError, match="not yours"):
        source.load_source(config, "train", data_dir)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        ModuleNotFoundError("No module named 'x'"),
        MemoryError(),
        OSError(errno.EIO, "Input/output error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_machine_lacks_is_no_damage(config, data_dir, monkeypatch, caplog, error):
    source.load_source(config, "train", data_dir)

    def fail(path):
        raise error

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(type(error)) as raised:
        source.load_source(config, "train", data_dir)
    assert raised.value is error
    assert not caplog.records


@pytest.mark.parametrize("module", ["array_record", "tensorflow"])
def test_a_package_that_is_missing_is_no_damage(config, data_dir, monkeypatch, module):
    source.load_source(config, "train", data_dir)

    def fail(folder):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(storage.tfds, "builder_from_directory", fail)
    with pytest.raises(ModuleNotFoundError, match=module):
        source.load_source(config, "train", data_dir)


def test_a_module_that_only_the_damaged_file_names_is_damage(config, data_dir, tmp_path):
    source.load_source(config, "train", data_dir)
    kept = storage.prepared_folder(source.Builder, config.name, data_dir)
    folder = shutil.copytree(kept, tmp_path / "data")
    features = folder / "features.json"
    features.write_text(features.read_text().replace(".core.features", ".corez.features"))
    with pytest.raises(storage.Damaged, match=r"Unrecognized .*\.corez"):
        storage.open_prepared(folder)


def test_files_that_cannot_be_opened_now_are_not_damaged(config, data_dir, monkeypatch):
    source.load_source(config, "train", data_dir)
    folder = storage.prepared_folder(source.Builder, config.name, data_dir)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []

    def hold_all():
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))

    def raised_by(call):
        # Pytest opens files, too, so the limit is for the call alone.
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[0], 200), limits[1]))
        try:
            hold_all()
            return call()
        except OSError as error:
            return error
        finally:
            for number in held:
                os.close(number)
            held.clear()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    builder = storage.open_prepared(folder)
    for call in (
        lambda: storage.open_prepared(folder),
        lambda: list(storage.read_records(folder, "train")),
    ):
        error = raised_by(call)
        assert isinstance(error, OSError)
        assert not isinstance(error, storage.Damaged)
        assert error.errno == errno.EMFILE
        monkeypatch.setattr(storage, "open_prepared", lambda folder: builder)


def test_a_failed_replacement_leaves_the_old_data(config, tmp_path, monkeypatch):
    source.load_source(config, "train", tmp_path)
    folder = storage.prepared_folder(source.Builder, config.name, tmp_path)
    marked = folder / "mark"
    marked.touch()
    rename = os.rename

    def fail_at_the_new(old, new):
        if new == folder and "making" in str(old) and "replaced" not in str(old):
            raise OSError(errno.EIO, "Input/output error")
        rename(old, new)

    monkeypatch.setattr(os, "rename", fail_at_the_new)
    with pytest.raises(OSError, match="Input/output"):
        storage.make(source.Builder, config, tmp_path, replace=True)
    assert marked.exists()


def test_loading_prints_nothing(config, tmp_path, capfd):
    source.load_source(config, "train", tmp_path)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_batches_of_a_loaded_source_are_puzzles_with_their_solutions(config, data_dir):
    loaded = source.load_source(config, "train", data_dir)
    batches = pipeline.training_batches(loaded, pipeline.PipelineConfig(batch_size=16))
    for _ in range(4):
        batch = next(batches)
        questions = rules.decode(batch["inputs"])
        answers = rules.decode(batch["labels"])
        assert rules.is_solution(answers, questions).all()


def test_unknown_configurations_name_the_nearest(data_dir):
    with pytest.raises(ValueError, match="not 'extreme_1000'; did you mean 'extreme_1k'"):
        source.load_source("extreme_1000", "train", data_dir)


def test_unknown_splits_name_those_there_are(config, data_dir):
    with pytest.raises(ValueError, match="has the splits train, validation, not 'test'"):
        source.load_source(config, "test", data_dir)


def test_a_bad_file_leaves_nothing_prepared(tmp_path):
    (tmp_path / "bad.csv").write_text("question\n123\n")
    with pytest.raises(puzzle_files.PuzzleFileError, match="line 2"):
        source.load_source(csv_config(tmp_path / "bad.csv"), "train", tmp_path / "data")
    with pytest.raises(puzzle_files.PuzzleFileError, match="line 2"):
        source.load_source(csv_config(tmp_path / "bad.csv"), "train", tmp_path / "data")
