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
from experiments.benchmarks.device.part import Part, Result, Setting, measure, table_of
from hrm_kernels import gpu_tiles, mosaic_blocks
from hrm_kernels.device import Device
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


def run_command(environment, folder, *flags):
    """Runs the suite in a folder, and returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.bench", "--suite=device", *flags],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_part_runs_without_what_a_lent_machine_lacks(lent_machine, tmp_path):
    done = run_command(lent_machine, tmp_path, "--minutes=30", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stdout + done.stderr
    records = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").iterdir()}
    assert set(records) == set(suite.PARTS)
    assert all(record["small"] and not record["wrong"] for record in records.values())
    for part, record in records.items():
        assert record["rows"], part
        assert not record["left_out"], part
        assert f"{part}: " in done.stdout
    assert "no compute-sanitizer" in done.stdout or "needs a GPU" in done.stdout


def setting(**changes) -> Setting:
    given = {"small": True, "deadline": 0.0, "processes": 1, "torch_python": sys.executable}
    return Setting(CARD, **(given | changes))


def test_a_wrong_number_ends_the_command_with_status_1(lent_machine, tmp_path):
    """Even one that an earlier run found."""
    suite._record(tmp_path, "right", setting(), Result([], wrong=["a case by a kernel: off"]))
    done = run_command(lent_machine, tmp_path, "--parts=right", f"--out={tmp_path}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "right, wrong:\n  a case by a kernel: off" in done.stdout
    assert "wrong numbers or programs" in done.stdout


@pytest.fixture
def stand_ins(monkeypatch) -> dict[str, float]:
    """Puts parts that measure nothing in place; returns the minutes that each was given."""
    given = {}

    def part_of(name: str) -> Part:
        def run(setting: Setting) -> Result:
            given[name] = (setting.deadline - time.monotonic()) / 60
            if name == "attention":
                raise RuntimeError("out of memory")
            return Result([{"name": name}])

        return Part(name, 1.0, run, lambda rows: table_of(name, {"name": "{name}"}, rows))

    parts = {name: part_of(name) for name in (*suite.PARTS, *suite.MORE_PARTS)}
    monkeypatch.setattr(suite, "_parts", lambda building: parts)
    monkeypatch.setattr(suite, "measure_card", lambda small: CARD)
    return given


def test_a_part_that_fails_is_wrong_and_those_after_it_run(stand_ins, tmp_path):
    options = suite.Options(("right", "attention", "text"), minutes=3, folder=tmp_path)
    wrong = suite.run(options, Console())["wrong"]
    assert wrong == {"right": [], "attention": ["RuntimeError: out of memory"], "text": []}
    assert {path.stem for path in tmp_path.iterdir()} == {"right", "attention", "text"}


def test_all_minutes_are_for_what_is_missing(stand_ins, tmp_path):
    options = suite.Options(("right", "quantized", "text"), minutes=3, folder=tmp_path)
    suite.run(options, Console())
    assert stand_ins == pytest.approx({"right": 1, "quantized": 1, "text": 1}, abs=0.1)
    stand_ins.clear()
    suite._record(tmp_path, "text", setting(), Result([], left_out=["a row"]))
    suite.run(options, Console())
    assert stand_ins == pytest.approx({"text": 3}, abs=0.1)


def test_a_job_that_fails_is_wrong_and_those_after_it_run():
    def fail():
        raise RuntimeError("no such instruction")

    later = setting(deadline=time.monotonic() + 60)
    found = measure(later, [("a", lambda: {"b": 1}), ("c", fail), ("d", lambda: {})])
    assert found.rows == [{"name": "a", "b": 1}, {"name": "d"}]
    assert found.wrong == ["c: RuntimeError: no such instruction"]
    assert measure(setting(), [("a", dict)]).left_out == ["a"]


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


def test_mosaic_checks_and_times_what_it_serves(monkeypatch):
    """With results made up: the kernels of a GPU's sizes do not run here."""
    checked = []
    timed = {}

    def over_processes(jobs, _):
        checked.extend(jobs)
        for job in jobs:
            kind, case = job
            yield job, [{"path": kind, "case": str(case), "wrong": "off" * (job is jobs[0])}]

    def times(builders):
        timed[len(timed)] = set(builders)
        notes = {"mosaic": "does not fit"} if len(timed) == 1 else {}
        return {name: 1e-6 for name in builders if name not in notes}, notes

    # Nothing is traced, so this goes without jax 0.11 as well.
    monkeypatch.setattr(mosaic_blocks, "plgpu", mosaic_blocks.plgpu or object())
    monkeypatch.setattr(suite.mosaic.right, "over_processes", over_processes)
    monkeypatch.setattr(suite.mosaic.attention, "timed", times)
    monkeypatch.setattr(suite.mosaic.attention, "arrays_of", lambda case: [])
    monkeypatch.setattr(suite.mosaic.quantized, "builders", lambda *_: dict.fromkeys("ab"))
    monkeypatch.setattr(suite.mosaic, "device_of", lambda: Device("gpu", (9, 0)))
    found = suite.mosaic.run(setting(small=False, deadline=time.monotonic() + 600))
    assert {kind for kind, _ in checked} == {"mosaic", "mosaic decoding", "mosaic quantized"}
    assert len(checked) > 80
    assert {"mosaic", "gpu", "cudnn"} in timed.values()
    assert {"mosaic", "gpu", "xla"} in timed.values()
    assert not found.left_out
    wrong_case, wrong_call = found.wrong
    assert wrong_case == f"{checked[0][1]} by mosaic: off"
    assert wrong_call == "hrm_small_82 forward: does not fit"
    assert suite.mosaic.PART.table(found.rows).row_count == len(found.rows)
    monkeypatch.setattr(suite.mosaic, "device_of", lambda: Device("gpu", (8, 9)))
    (reason,) = suite.mosaic.run(setting(small=False)).wrong
    assert "no case is served" in reason
    assert "the card is of ada" in reason


def test_turns_alternate_and_the_median_counts():
    order = []
    programs = {
        name: Program(lambda name=name: order.append(name), lambda _: None) for name in "ab"
    }
    seconds = take_turns(programs, rounds=3)
    assert set(seconds) == {"a", "b"}
    changes = [name for index, name in enumerate(order) if index == 0 or order[index - 1] != name]
    assert "".join(changes) == "abababab"  # both are warmed, then three rounds


def test_each_kind_of_kernel_is_compiled(monkeypatch):
    """Traced here, as a GPU's compiler is not at hand."""

    class Traced:
        def __init__(self, function):
            self.function = function

        def lower(self, *operands):
            kernels.append(str(jax.make_jaxpr(self.function)(*operands)))
            return self

        def compile(self):
            return None

    kernels: list[str] = []
    monkeypatch.setattr(suite.compiling.jax, "jit", Traced)
    rows = dict(suite.compiling._programs(small=False))
    for name in ("hrm_82 gradient", "smollm2_8192 gradient", "decode_code", "smollm2_down, 1 rows"):
        assert rows[name]()["seconds"] > 0, name
    named = ("attention_resident_backward", "attention_tiled_d_key", "attention_tiled", "quantized")
    for name, jaxpr in zip(named, kernels, strict=True):
        assert name in jaxpr
