"""What is chosen among the samples of a measurement, as a table; and what is refused."""

import dataclasses
import json

import pytest
from absl import app, flags
from absl.testing import flagsaver
from rich.console import Console

from experiments.codegen import choosing, measuring
from hrm_jax.core.config import to_json
from hrm_jax.evaluation.evaluate import COMPLETIONS, SETTINGS, EvaluationSettings, ResumeError
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from tests.hrm_jax.verified.choices_test import SUITE, lines_of

FLAGS = flags.FLAGS


@pytest.fixture
def samples(monkeypatch, tmp_path):
    """A function that writes samples into a folder, which the flags name."""
    FLAGS.mark_as_parsed()
    monkeypatch.setattr(measuring, "load_suite", lambda: SUITE)

    def write(lines):
        settings = EvaluationSettings("toy", "nobody", 2, samples=5)
        (tmp_path / SETTINGS).write_text(to_json(settings))
        text = "".join(json.dumps(dataclasses.asdict(line)) + "\n" for line in lines)
        (tmp_path / COMPLETIONS).write_text(text)

    with flagsaver.flagsaver(results=str(tmp_path), choose_among=["1", "5", "50"]):
        yield write


def test_a_table_of_what_is_chosen(samples, capsys):
    try:
        find_sandbox()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    samples([*lines_of("a"), *lines_of("b")])
    assert choosing.run(Console(markup=False, width=80)) == 0
    shown = capsys.readouterr().out
    assert "of 5" in shown
    assert "of 50" not in shown
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:4]
        for line in shown.split("\n")
        if "│" in line
    }
    assert [cell.strip() for cell in rows["the first"]] == ["40.0%", "0.0%"]
    assert rows["by examples, then agreement"][1].strip() == "100.0%"
    assert rows["verified by examples"][1].strip() == "50.0%"


def test_what_cannot_be(samples, tmp_path):
    console = Console(markup=False)
    with pytest.raises(ResumeError, match="without settings"):
        choosing.run(console)
    samples([])
    with pytest.raises(ResumeError, match="expected samples, got none"):
        choosing.run(console)
    samples(lines_of("elsewhere"))
    with pytest.raises(ResumeError, match="got elsewhere"):
        choosing.run(console)
    samples(lines_of("a"))
    FLAGS.choose_among = ["0"]
    with pytest.raises(app.UsageError, match="numbers of samples from 1"):
        choosing.run(console)
