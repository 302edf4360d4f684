"""Comparing presets over seeds: what is started, what is kept, and the table."""

import dataclasses
import io
import json
import pathlib
import subprocess

import pytest
from absl import app, flags
from rich.console import Console

from experiments import compare_codegen
from experiments.compare_codegen import comparison_table
from hrm_jax.evaluation.evaluate import Judged

FLAG_NAMES = ("presets", "baseline", "seeds", "folder", "override", "eval", "delete_checkpoints")


def test_a_column_has_the_mean_of_the_seeds_and_their_range():
    console = Console(file=io.StringIO(), width=120)
    nano = [{"bits_per_byte": 2.0, "parse_rate": 0.5}, {"bits_per_byte": 3.0, "parse_rate": 0.75}]
    plain = [{"bits_per_byte": 2.5, "parse_rate": 0.25}] * 2
    console.print(comparison_table({"nano": nano, "plain": plain}))
    text = console.file.getvalue()
    assert "2 seeds, held-out projects" in text
    assert "2.500 (2.000 to 3.000)" in text
    assert "62.5% (50.0% to 75.0%)" in text
    assert "2.500 (2.500 to 2.500)" in text


def test_a_measure_that_only_one_preset_has_is_blank_for_the_other():
    console = Console(file=io.StringIO(), width=120)
    console.print(comparison_table({"one": [{"a": 1.0}], "other": [{"a": 2.0, "b": 3.0}]}))
    assert "3.000 (3.000 to 3.000)" in console.file.getvalue()


class Started:
    """In place of `subprocess.run`: what would have been started, each leaving its results.

    Attributes:
      commands: so far.
      failing_seed: whose training fails.
    """

    def __init__(self):
        self.commands = []
        self.failing_seed = None

    def __call__(self, command, *, check):
        assert check
        self.commands.append(command)
        named = dict(part.split("=", 1) for part in command if "=" in part)
        if "--mode=eval" in command:
            _write_results(pathlib.Path(named["--results"]))
        elif named["--config.seed"] == self.failing_seed:
            raise subprocess.CalledProcessError(3, command)
        else:
            _write_run(pathlib.Path(named["--run"]))


def _write_run(folder):
    (folder / "checkpoints").mkdir(parents=True)
    report = {"after": {"bits_per_byte": 2.0}}
    report |= {"training_flops_per_token": 1e6, "trained_tokens": 1e6}
    (folder / "report.json").write_text(json.dumps(report))


def _write_results(folder):
    folder.mkdir(parents=True)
    line = Judged("a", 0, 0, "", parses=True, passed=True, result="", detail="", seconds=0.1)
    (folder / "completions.jsonl").write_text(json.dumps(dataclasses.asdict(line)) + "\n")
    report = {"settings": {"samples": 1}, "parse_rate": 1.0}
    (folder / "report.json").write_text(json.dumps(report))


@pytest.fixture
def started(monkeypatch):
    started = Started()
    monkeypatch.setattr(subprocess, "run", started)
    return started


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """The program over two seeds of a preset, with further flags."""
    monkeypatch.setenv("COLUMNS", "200")
    saved = {name: flags.FLAGS[name].value for name in FLAG_NAMES}

    def program(*arguments):
        common = [f"--folder={tmp_path}", "--seeds=0,1", "--presets=minute"]
        flags.FLAGS(["compare", *common, *arguments])
        return compare_codegen.main()

    yield program
    for name, value in saved.items():
        flags.FLAGS[name].value = value
    flags.FLAGS.unparse_flags()


def test_every_seed_is_trained_and_measured_once(compare, started, tmp_path, capsys):
    arguments = "--baseline=/models/x.gguf", "--eval=--suite=humaneval"
    assert compare(*arguments) == 0
    assert len(started.commands) == 1 + 2 * 2
    shown = capsys.readouterr().out
    assert "/models/x.gguf, as it is" in shown
    assert "100.0% (100.0% to 100.0%)" in shown
    saved = json.loads((tmp_path / "comparison.json").read_text())
    assert len(saved["runs"]["minute"]) == len(saved["suites"]["minute"]) == 2
    assert (tmp_path / "minute-0" / "checkpoints").exists()
    assert compare(*arguments, "--delete_checkpoints") == 0
    assert len(started.commands) == 5
    assert not (tmp_path / "minute-0" / "checkpoints").exists()


def test_a_run_that_fails_ends_it_and_is_gone_on_with(compare, started, tmp_path):
    started.failing_seed = "1"
    assert compare() == 3
    (tmp_path / "minute-1" / "config.json").touch()  # as a run that has begun
    started.failing_seed = None
    assert compare() == 0
    assert ["--resume" in command for command in started.commands] == [False, False, True]


def test_a_folder_of_another_comparison_is_refused(compare, started, capsys):
    assert compare() == 0
    assert compare("--override=loop.steps=20") == 2
    assert "with other values; name another --folder" in " ".join(capsys.readouterr().out.split())
    assert len(started.commands) == 2


def test_an_unknown_preset_is_told(compare, started):
    with pytest.raises(app.UsageError, match=r"expected some of first_look, .*, got \['nona'\]"):
        compare("--presets=nona")
    assert not started.commands
