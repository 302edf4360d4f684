"""Suites over models and seeds: what is read, measured once, and shown."""

import io
import json
import pathlib
import subprocess

import pytest
from rich.console import Console

from experiments.suite_figures import Measured, figures, folder_name, measure, pooled


def _line(task, sample, *, passed, parses=True):
    verdict = {"passed": passed, "result": "passed" if passed else "failed", "detail": ""}
    return {"task_id": task, "sample": sample, "seed": 0, "completion": "", "parses": parses} | (
        verdict | {"seconds": 0.1}
    )


@pytest.fixture
def eval_program(monkeypatch):
    """In place of `--mode=eval`: the commands that were run, each leaving its results."""
    commands = []

    def run(command, *, check):
        assert check
        commands.append(command)
        results = pathlib.Path(
            next(part for part in command if part.startswith("--results=")).partition("=")[2]
        )
        results.mkdir(parents=True, exist_ok=True)
        lines = [_line("a", 0, passed=True), _line("b", 0, passed=False, parses=False)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (results / "completions.jsonl").write_text(text)
        report = {"settings": {"samples": 1}, "parse_rate": 0.5}
        (results / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_a_model_is_measured_once(tmp_path, eval_program):
    found = [measure("m", "--suite=humaneval --max_tokens=9", tmp_path) for _ in range(2)]
    assert found == [Measured(1, {"a": 1, "b": 0}, 0.5)] * 2
    (command,) = eval_program
    assert command[3:] == [
        "--mode=eval",
        "--model=m",
        "--suite=humaneval",
        "--max_tokens=9",
        f"--results={tmp_path / folder_name('--suite=humaneval --max_tokens=9')}",
    ]


def test_what_was_stopped_goes_on(tmp_path, eval_program):
    (tmp_path / folder_name("--suite=mbpp")).mkdir()
    measure("m", "--suite=mbpp", tmp_path)
    assert eval_program[0][-1] == "--resume"


def test_other_arguments_have_other_folders():
    names = {folder_name(text) for text in ("--x=1", "--x=-1", "--x=0.2", "--x=0-2", "../x", "/x")}
    assert len(names) == 6
    assert not any("/" in name or name.startswith(".") for name in names)


def test_seeds_are_pooled_by_problem():
    seeds = [Measured(1, {"a": 1, "b": 0}, 1.0), Measured(1, {"b": 1, "a": 1}, 1.0)]
    found = pooled(seeds)
    assert found.value == 0.75
    assert (found.low, found.high) == (0.5, 1.0)


def test_the_table_has_a_column_for_each_model():
    one = Measured(1, {"a": 1, "b": 1}, 1.0)
    none = Measured(1, {"a": 0, "b": 0}, 0.5)
    console = Console(file=io.StringIO(), width=160)
    console.print(figures({"before": [{"--suite=x": none}], "after": [{"--suite=x": one}] * 3}))
    text = console.file.getvalue()
    assert "--suite=x" in text
    assert "0.0% (0.0% to 0.0%)" in text
    assert "100.0% (100.0% to 100.0%)" in text
    assert "50.0% (50.0% to 50.0%)" in text
