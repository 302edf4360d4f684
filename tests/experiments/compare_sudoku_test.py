"""Comparing Sudoku models: equal time, what is started, what is kept, and the table."""

import dataclasses
import io
import json
import pathlib
import shutil
import subprocess
import types

import jax
import pytest
from rich.console import Console

from experiments import compare_sudoku
from experiments.sudoku.presets import PRESETS
from hrm_jax.core.config import ConfigError, replace
from hrm_jax.tasks.sudoku.task import SudokuTask
from tests import commands

SECONDS_A_STEP = {"relational": 0.5, "quick": 0.25}


class Started:
    """In place of `subprocess.run`: each command leaves, or says, what it would have."""

    def __init__(self):
        self.commands = []
        self.failing = None

    def __call__(self, command, *, check, **_):
        assert check
        self.commands.append(command)
        if self.failing is not None and self.failing in command:
            raise subprocess.CalledProcessError(3, command)
        named = dict(part.split("=", 1) for part in command if "=" in part)
        if "--mode=eval" in command:
            share = 0.25 * (1 + int(named["--checkpoint"][-1]))
            report = {"exact_accuracy": share, "search": {"exact_accuracy": share + 0.25}}
            return types.SimpleNamespace(stdout=f"a table\n{json.dumps(report)}\n")
        folder = pathlib.Path(named["--run"])
        pace = SECONDS_A_STEP[named["--preset"]]
        rows = [{"step": 0, "time_seconds": 0, "split": "validation", "exact_accuracy": 0.5}]
        rows += [{"step": n, "time_seconds": 5 + n * pace, "split": "train"} for n in (10, 40)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "report.json").write_text("{}")
        return None


@pytest.fixture
def started(monkeypatch):
    started = Started()
    monkeypatch.setattr(subprocess, "run", started)
    return started


@pytest.fixture
def compare(tmp_path):
    """Compares two variants over two seeds, with other settings; the exit code and the text."""

    def compare(**changes):
        settings = {"variants": ["relational", "no_relations"], "seeds": ["0", "1"], "minutes": 2}
        text = io.StringIO()
        settings = compare_sudoku.Settings(folder=str(tmp_path), **settings | changes)
        code = compare_sudoku.compare(settings, Console(file=text, width=200))
        return code, text.getvalue()

    return compare


def test_a_variant_is_trained_and_measured_as_it_says(compare, started, tmp_path):
    code, _ = compare(
        variants=["no_symmetry"], seeds=["3"], data=["bank"], puzzles=7, search_attempts=5
    )
    assert code == 0
    probe, trained, measured = (command[2:] for command in started.commands)
    assert probe[0] == "experiments.sudoku"
    assert "--config.validation.puzzles=64" in probe
    assert trained == [
        "experiments.sudoku",
        "--preset=relational",
        "--config.model.pos_encodings=learned",
        "--config.data.augment=True",
        "--config.seed=3",
        "--config.loop.steps=240",
        "--config.loop.evaluate_every=30",
        "--config.test.puzzles=16",
        "--config.test.max_steps=1",
        f"--run={tmp_path / 'no_symmetry-3'}",
    ]
    assert measured == [
        "experiments.sudoku",
        "--mode=eval",
        f"--checkpoint={tmp_path / 'no_symmetry-3'}",
        "--data=bank",
        "--halting=rules",
        "--max_steps=64",
        "--puzzles=7",
        "--search_attempts=5",
    ]


def test_published_models_are_measured_with_what_they_learn():
    """An average over many more steps than there are would be that of the initial values."""
    for name in ("hrm", "trm_mlp"):
        variant = compare_sudoku.VARIANTS[name]
        changes = dict(override.split("=") for override in variant.overrides)
        decay = float(changes.get("optim.ema_decay", PRESETS[variant.preset].optim.ema_decay))
        assert decay**60 < 0.01


def test_each_trains_for_the_same_time(compare, started):
    assert compare()[0] == 0
    steps = [part for command in started.commands for part in command if "loop.steps" in part]
    probe, slow, fast = (f"--config.loop.steps={n}" for n in (40, 240, 480))
    assert steps == [probe, slow, slow, probe, fast, fast]


def test_without_minutes_each_trains_for_the_steps_of_its_preset(compare, started):
    assert compare(minutes=0)[0] == 0
    steps = [part for command in started.commands for part in command if "loop.steps" in part]
    presets = (
        PRESETS[compare_sudoku.VARIANTS[name].preset] for name in ("relational", "no_relations")
    )
    assert steps == [f"--config.loop.steps={p.loop.steps}" for p in presets for _ in range(2)]


def test_all_is_done_once_and_shown(compare, started, tmp_path):
    hard = str(tmp_path / "hard.csv")
    pathlib.Path(hard).touch()
    for _ in range(2):
        code, shown = compare(data=["bank", hard])
        assert code == 0
        assert len(started.commands) == 2 * (1 + 2 * 3)
    assert "37.5% (25.0% to 50.0%)" in shown
    assert "62.5% (50.0% to 75.0%)" in shown
    saved = json.loads((tmp_path / "comparison.json").read_text())
    assert saved["solved"]["relational"][1][hard]["exact_accuracy"] == 0.5
    assert saved["trained"]["relational"] == {"steps": 240, "minutes": 2}
    assert (tmp_path / "curves.png").exists()


def test_a_run_that_fails_ends_it_and_is_gone_on_with(compare, started, tmp_path):
    started.failing = "--config.seed=1"
    assert compare()[0] == 3
    (tmp_path / "relational-1" / "config.json").touch()  # as a run that has begun
    started.failing = None
    assert compare()[0] == 0
    assert sum("--resume" in command for command in started.commands) == 1


def test_a_folder_of_another_comparison_is_refused(compare, started):
    assert compare()[0] == 0
    code, shown = compare(minutes=3)
    assert code == 2
    assert "name another --folder" in shown


def test_a_folder_of_something_else_is_left_alone(compare, started, tmp_path):
    for name in ("relational-probe", "relational-0"):
        other = tmp_path / name / "thesis.txt"
        other.parent.mkdir()
        other.touch()
        code, shown = compare()
        assert code == 2
        assert f"{name} holds what no comparison made" in shown
        assert other.exists()
        shutil.rmtree(other.parent)


def test_a_probe_that_was_stopped_begins_anew(compare, started, tmp_path):
    started.failing = "--config.loop.steps=40"
    assert compare()[0] == 3
    (tmp_path / "relational-probe" / "config.json").touch()
    started.failing = None
    assert compare()[0] == 0
    assert not any("--resume" in command for command in started.commands)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("variants", [], "one or more, none twice"),
        ("seeds", ["0", "0"], "one or more, none twice"),
        ("seeds", ["0", "00"], r"whole numbers, got \['00'\]"),
        ("seeds", ["a", "1"], r"whole numbers, got \['a'\]"),
        ("data", ["absent.csv"], "bank, or files, got"),
        ("puzzles", -1, "0 or more"),
        ("search_attempts", -1, "0 or more"),
        ("probe_steps", 10, "20 or more"),
    ],
)
def test_what_cannot_be_compared_is_told(name, value, expected):
    with pytest.raises(ConfigError, match=f"^{name}: expected {expected}"):
        compare_sudoku.Settings(**{name: value})


def test_the_program_says_what_it_takes():
    said = commands.run("experiments.compare_sudoku", "--help")
    assert "no_ema: no averaging" in said.stdout
    assert "--minutes: minutes of training of each run" in said.stdout
    said = commands.run("experiments.compare_sudoku", "--variants=x")
    assert said.returncode == 2
    assert "variants[0]: expected one of 'relational'" in said.stdout + said.stderr


def test_without_a_search_there_is_no_column_for_it():
    table = compare_sudoku.figures({"relational": [{"bank": {"exact_accuracy": 0.5}}]})
    assert [column.header for column in table.columns] == ["variant", "bank"]


@pytest.mark.parametrize("name", compare_sudoku.VARIANTS)
def test_every_variant_learns_from_the_bank_and_searches_alike(name):
    variant = compare_sudoku.VARIANTS[name]
    pairs = (override.split("=") for override in variant.overrides)
    config = replace(PRESETS[variant.preset], {key: _parsed(value) for key, value in pairs})
    assert (config.data.name, config.data.num_augmentations) == ("bank", 0)
    search = PRESETS["relational"].test.search
    assert dataclasses.replace(config.test.search, symmetries=False) == search
    jax.eval_shape(SudokuTask(config).model.init, jax.random.key(0))


def _parsed(text):
    values = {"True": True, "False": False}
    try:
        return values[text] if text in values else json.loads(text)
    except ValueError:
        return text


def test_a_variant_that_nobody_knows_is_told():
    message = r"^variants\[0\]: expected one of 'relational', .*, got 'nobody'; set one of these"
    with pytest.raises(ConfigError, match=message):
        compare_sudoku.Settings(variants=("nobody",))
