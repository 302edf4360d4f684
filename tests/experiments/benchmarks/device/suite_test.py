"""The device suite on a CPU, on small sizes, without the libraries that a lent machine lacks."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import jax
import pytest
from rich.console import Console

from experiments.benchmarks.device import suite
from experiments.benchmarks.device.card import Card, Program, take_turns
from experiments.benchmarks.device.part import Result, Setting
from hrm_kernels import gpu_tiles
from hrm_kernels.gpu_tiles import Tile

ROOT = pathlib.Path(__file__).parents[4]
BLOCKER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("grain", "tensorflow_datasets", "ml_collections", "tensorboardX"):
            raise ModuleNotFoundError(f"no module named {name!r} on a lent machine", name=name)

sys.meta_path.insert(0, Absent())
"""
CARD = Card(jax.devices()[0].device_kind, 1e12, 1e12, 1e9, 1e-6)


@pytest.fixture
def lent_machine(tmp_path) -> dict[str, str]:
    """The environment of a clone that is not installed, where four libraries are absent."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKER)
    paths = [str(folder), str(ROOT), str(ROOT / "kernels")]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu"}
    return os.environ | variables | {"HRM_JAX_KEEP_HEAP": "0"}


@pytest.mark.thorough
def test_every_part_runs_without_what_a_lent_machine_lacks(lent_machine, tmp_path):
    command = [sys.executable, "-m", "experiments.bench", "--suite=device", "--minutes=30"]
    done = subprocess.run(
        [*command, f"--out={tmp_path / 'out'}"],
        env=lent_machine,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    records = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()}
    assert set(records) == set(suite.PARTS)
    assert all(record["small"] and not record["wrong"] for record in records.values())
    for part in ("right", "attention", "train_step"):
        assert records[part]["rows"], part
        assert f"{part}: " in done.stdout


def setting(**changes) -> Setting:
    given = {"small": True, "deadline": 0.0, "processes": 1, "torch_python": sys.executable}
    return Setting(CARD, **(given | changes))


def test_a_finished_part_is_not_run_again_and_a_cut_one_is(tmp_path):
    suite._record(tmp_path, "right", setting(), Result([{"path": "a"}]))
    suite._record(tmp_path, "text", setting(), Result([], left_out=["b"]))
    assert suite._finished(tmp_path, "right") is not None
    assert suite._finished(tmp_path, "text") is None
    assert suite._finished(tmp_path, "attention") is None
    (tmp_path / "right.json").write_text('{"code": "of another commit"}')
    assert suite._finished(tmp_path, "right") is None


def test_an_unknown_part_names_those_known(tmp_path):
    options = suite.Options(("right", "wrong"), minutes=1, folder=tmp_path)
    with pytest.raises(ValueError, match=r"some of right, attention, .*got \['wrong'\]"):
        suite.run(options, Console())


def test_what_begins_after_the_deadline_is_left_out():
    assert setting().late
    found = suite.attention.run(setting())
    assert not found.rows
    assert found.left_out == ["tiny forward", "tiny gradient", "decode_tiny"]


def test_tiles_prints_rows_of_the_table(tmp_path, capsys):
    later = setting(deadline=time.monotonic() + 60)
    (row,) = suite.tiles.run(later).rows
    assert row["tried"] == 2
    assert re.fullmatch(
        r"resident: \(16, 64, Tile\(queries=32, .*warps=[48], stages=1\)\)", row["line"]
    )
    table = suite.tiles.PART.table([row])
    assert table.title == "tiles on hopper"
    assert suite.tiles.run(setting()).left_out == ["resident bfloat16 K=64"]


def test_the_fastest_candidate_of_each_row_is_found_among_those_that_run(monkeypatch):
    """With timings made up: programs of a GPU's sizes do not run here."""
    tried: dict[str, list[Tile]] = {}

    def program(_, row, call, tile):
        assert call.K == row.K
        if tile.stages == 3 and row.kernel == "tiled_d_query":
            raise RuntimeError("out of shared memory")
        tried.setdefault(str(row), []).append(tile)
        return Program(lambda: None)

    def turns(programs, _):
        return {name: 1.0 + name.count("64") for name in programs}

    monkeypatch.setattr(suite.tiles, "_program", program)
    monkeypatch.setattr(suite.tiles, "take_turns", turns)
    found = suite.tiles.run(setting(small=False, deadline=time.monotonic() + 60))
    assert not found.left_out
    assert [row["row"] for row in found.rows] == list(tried)
    for row in found.rows:
        best = min(tried[row["row"]], key=lambda tile: str(tile).count("64"))
        assert row["line"].endswith(f"{best})")
        assert row["tried"] == len(tried[row["row"]])
    # What stands in the table is among what is tried.
    for kernel, rows in gpu_tiles.TILES[gpu_tiles.MEASURED].items():
        for dtype, bits in (("bfloat16", 16), ("float32", 32)):
            standing = {tile for size, _, tile in rows if size == bits}
            names = [name for name in tried if name.startswith(f"{kernel} {dtype} ")]
            assert bool(names) == (bits == 16 or not kernel.startswith("mosaic"))
            assert all(standing <= set(tried[name]) for name in names), kernel


def test_mosaic_is_not_run_without_a_card():
    found = suite.mosaic.run(setting())
    assert not found.rows
    assert found.left_out == ["needs a Hopper card; tests/kernels/mosaic_test.py interprets"]
    assert (
        suite.mosaic.PART.table([{"case": "a", "path": "b", "us": {"mosaic": 1.0}}]).row_count == 1
    )


def test_turns_alternate_and_the_median_counts():
    order = []
    programs = {
        name: Program(lambda name=name: order.append(name), lambda _: None) for name in "ab"
    }
    seconds = take_turns(programs, rounds=3)
    assert set(seconds) == {"a", "b"}
    changes = [name for index, name in enumerate(order) if index == 0 or order[index - 1] != name]
    assert "".join(changes) == "abababab"  # both are warmed, then three rounds
