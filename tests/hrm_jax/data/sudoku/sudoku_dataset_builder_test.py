"""The TFDS builder: splits, names of configurations, downloads from a local stand-in."""

import functools
import http.server
import re
import shutil
import sys
import threading

import numpy as np
import pytest

from hrm_jax.data import downloads, storage
from hrm_jax.data.sudoku import (
    bank,
    canonical,
    csv_format,
    generator,
    puzzle_files,
    rules,
    source,
    symmetry,
)
from hrm_jax.data.sudoku import sudoku_dataset_builder as sudoku

TRAIN = generator.generate(np.random.default_rng(0), 300)
TEST = generator.generate(np.random.default_rng(1), 20)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    csv_format.write(folder / "train.csv", TRAIN, ["here"] * len(TRAIN))
    csv_format.write(folder / "test.csv", TEST, ["here"] * len(TEST))
    return folder


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(files):
    handler = functools.partial(_SilentHandler, directory=str(files))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _questions(loaded):
    return {rules.format_grid(question) for question in rules.decode(loaded.inputs)}


def test_extreme_is_downloaded_and_split_by_class(address, tmp_path):
    config = sudoku.extreme_config(address)
    splits = {s: source.load_source(config, s, tmp_path) for s in ("train", "validation", "test")}
    everything = {rules.format_grid(question) for question in TRAIN.questions}
    assert _questions(splits["train"]) | _questions(splits["validation"]) == everything
    assert len(splits["train"]) + len(splits["validation"]) == len(TRAIN)
    np.testing.assert_array_equal(rules.decode(splits["test"].inputs), TEST.questions)
    prints = canonical.class_fingerprints(rules.decode(splits["train"].labels))
    assert (prints % np.uint64(100) != 0).all()
    assert len(splits["validation"]) == 10


def test_files_that_are_put_there_by_hand_are_read(files, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", ())
    config = sudoku.extreme_config("http://127.0.0.1:1", 50)  # nothing listens at port 1
    with pytest.raises(downloads.DownloadError) as refused:
        source.load_source(config, "train", tmp_path)
    told = re.search(r"put train.csv and test.csv of \S+ into (\S+):", str(refused.value))
    assert told is not None, refused.value
    assert str(refused.value).startswith("http://127.0.0.1:1/train.csv cannot be downloaded: no")
    shutil.copytree(files, told[1])
    test = source.load_source(config, "test", tmp_path)
    np.testing.assert_array_equal(rules.decode(test.inputs), TEST.questions)
    assert len(source.load_source(config, "train", tmp_path)) == 50


def test_damaged_data_that_cannot_be_downloaded_again_say_so(files, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", ())
    config = sudoku.extreme_config("http://127.0.0.1:1", 50)
    by_hand = tmp_path / "downloads" / config.name.replace("extreme_50", "sudoku_extreme")
    shutil.copytree(files, by_hand)
    source.load_source(config, "train", tmp_path)
    shutil.rmtree(by_hand)
    (damaged,) = tmp_path.rglob("dataset_info.json")
    damaged.write_bytes(b"")
    with pytest.raises(storage.Damaged, match=f"prepared again: .*put .* into {by_hand}"):
        source.load_source(config, "train", tmp_path)


PORTAL = "<!DOCTYPE html>\n<title>Log in</title>\n"


@pytest.fixture
def portal(address, files):
    """The address of a network that asks for a login first."""
    (files / "portal").mkdir()
    for split in ("train", "test"):
        (files / "portal" / f"{split}.csv").write_text(PORTAL)
    yield f"{address}/portal"
    shutil.rmtree(files / "portal")


def test_a_page_that_came_instead_is_not_kept(portal, tmp_path):
    message = r"train.csv: expected the first line source,.*, got '<!DOCTYPE html>'; .* login"
    with pytest.raises(downloads.DownloadError, match=message):
        source.load_source(sudoku.extreme_config(portal), "train", tmp_path)
    assert not list(tmp_path.rglob("*.csv"))


@pytest.mark.parametrize("content", [PORTAL.encode(), b"", b"\xff" * 200])
def test_a_file_that_is_there_and_another_is_named(files, tmp_path, content):
    config = sudoku.extreme_config("http://127.0.0.1:1")
    by_hand = tmp_path / "downloads" / config.name.replace("extreme", "sudoku_extreme")
    shutil.copytree(files, by_hand)
    (by_hand / "test.csv").write_bytes(content)
    message = f"{by_hand / 'test.csv'}: expected the first line source,.*, got '.*'; delete it"
    with pytest.raises(puzzle_files.PuzzleFileError, match=message):
        source.load_source(config, "train", tmp_path)


def test_line_ends_of_windows_are_no_other_file(files, tmp_path):
    config = sudoku.extreme_config("http://127.0.0.1:1")
    by_hand = tmp_path / "downloads" / config.name.replace("extreme", "sudoku_extreme")
    by_hand.mkdir(parents=True)
    for name in ("train.csv", "test.csv"):
        text = (files / name).read_bytes().replace(b"\n", b"\r\n")
        (by_hand / name).write_bytes(b"\xef\xbb\xbf" + text)
    assert len(source.load_source(config, "test", tmp_path)) == len(TEST)


def test_extreme_1k_draws_its_training_puzzles(address, tmp_path):
    drawn = [
        source.load_source(sudoku.extreme_config(address, 50), "train", tmp_path / str(i))
        for i in range(2)
    ]
    assert len(drawn[0]) == 50
    assert len(_questions(drawn[0])) == 50
    np.testing.assert_array_equal(drawn[0].inputs, drawn[1].inputs)
    whole = source.load_source(sudoku.extreme_config(address), "train", tmp_path)
    assert _questions(drawn[0]) <= _questions(whole)
    test = source.load_source(sudoku.extreme_config(address, 50), "test", tmp_path / "0")
    assert len(test) == len(TEST)


def test_more_puzzles_than_there_are(address, tmp_path):
    with pytest.raises(ValueError, match=r"5000 training puzzles were asked for, but .* only"):
        source.load_source(sudoku.extreme_config(address, 5000), "train", tmp_path)
    with pytest.raises(ValueError, match="not 0"):
        sudoku.extreme_config(address, 0)


def test_the_hold_out_follows_the_class(files, tmp_path):
    moved = symmetry.random_symmetries(np.random.default_rng(2), len(TRAIN))(TRAIN.questions)
    lines = [rules.format_grid(question) for question in moved]
    (tmp_path / "moved.txt").write_text("\n".join(lines))
    held_out = [
        _held_out_rows(source.load_source(sudoku.csv_config(path), "validation", tmp_path), puzzles)
        for path, puzzles in (
            (files / "train.csv", TRAIN.questions),
            (tmp_path / "moved.txt", moved),
        )
    ]
    assert held_out[0] == held_out[1]


@pytest.mark.parametrize(("count", "held_out"), [(200, 10), (40, 4), (9, 1), (2, 1)])
def test_of_a_small_file_some_are_held_out_too(tmp_path, count, held_out):
    small = TRAIN.take(slice(0, count))
    csv_format.write(tmp_path / "small.csv", small, ["here"] * count)
    config = sudoku.csv_config(tmp_path / "small.csv")
    splits = [source.load_source(config, split, tmp_path) for split in ("train", "validation")]
    assert [len(split) for split in splits] == [count - held_out, held_out]
    everything = {rules.format_grid(question) for question in small.questions}
    assert _questions(splits[0]) | _questions(splits[1]) == everything


def test_puzzles_of_one_grid_are_too_few_to_hold_some_out(tmp_path):
    one = TRAIN.take(np.zeros(3, dtype=int))
    csv_format.write(tmp_path / "one.csv", one, ["here"] * 3)
    with pytest.raises(ValueError, match=r"at least 2 are needed .* but 3 of one grid came: add"):
        source.load_source(sudoku.csv_config(tmp_path / "one.csv"), "train", tmp_path)


def test_bad_puzzles_are_left_out_on_demand_and_kept_apart(tmp_path, caplog):
    lines = [rules.format_grid(question) for question in TEST.questions]
    (tmp_path / "test.txt").write_text("\n".join(["53..7", *lines]))
    strict = sudoku.csv_config(test=tmp_path / "test.txt")
    lenient = sudoku.csv_config(test=tmp_path / "test.txt", skip_bad=True)
    loaded = source.load_source(lenient, "test", tmp_path)
    np.testing.assert_array_equal(rules.decode(loaded.inputs), TEST.questions)
    assert "line 1: a puzzle has 81 characters" in caplog.text
    # What was prepared without them does not pass for the whole file.
    with pytest.raises(puzzle_files.PuzzleFileError, match="line 1"):
        source.load_source(strict, "test", tmp_path)


def _held_out_rows(loaded, questions):
    texts = _questions(loaded)
    return [row for row, q in enumerate(questions) if rules.format_grid(q) in texts]


def test_configurations_are_named_by_content(files, tmp_path):
    name = sudoku.csv_config(files / "train.csv").name
    (tmp_path / "copy.csv").write_bytes((files / "train.csv").read_bytes())
    assert sudoku.csv_config(tmp_path / "copy.csv").name == name
    assert sudoku.csv_config(files / "test.csv").name != name
    assert sudoku.csv_config(files / "train.csv", test=files / "test.csv").name != name
    with pytest.raises(FileNotFoundError):
        sudoku.csv_config(tmp_path / "none.csv")


def test_official_names_are_kept_for_the_official_address():
    assert sudoku.extreme_config().name == "extreme"
    assert sudoku.extreme_config(train_puzzles=1000).name == "extreme_1k"
    assert sudoku.extreme_config("http://localhost").name.startswith("extreme_mirror_")
    names = [config.name for config in sudoku.Builder.BUILDER_CONFIGS]
    assert names == ["bank", "extreme", "extreme_1k"]


def test_the_bank_is_the_default(tmp_path):
    builder = sudoku.Builder(data_dir=str(tmp_path), file_format="array_record")
    assert builder.name == "sudoku"
    assert builder.builder_config.name == "bank"
    for split in bank.SPLITS:
        assert bank.shipped_file(split).is_file()


def test_foreign_configurations_are_refused(tmp_path):
    foreign = sudoku.tfds.core.BuilderConfig(name="foreign")
    with pytest.raises(TypeError, match="configured by a SudokuConfig"):
        source.load_source(foreign, "train", tmp_path)


def test_tensorflow_is_not_loaded():
    assert "tensorflow" not in sys.modules
