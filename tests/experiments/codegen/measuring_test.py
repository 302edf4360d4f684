"""Measuring code as its users do: a command in a process of its own."""

import json
import re

import pytest

from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.evaluation.suites.named import DATA_VARIABLE
from tests import commands


def run(folder, *flags, **environment):
    """`python -m experiments.codegen --mode=eval`."""
    # An empty variable is as good as none, which a machine with suites may set.
    environment = {DATA_VARIABLE: "", **environment}
    flags = ("--mode=eval", *flags)
    return commands.run("experiments.codegen", *flags, cwd=folder, environment=environment)


@pytest.fixture(autouse=True)
def _walls():
    try:
        find_sandbox()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


def test_solutions_are_measured_and_a_measurement_goes_on(tmp_path):
    flags = ["--completer=canonical", "--suite_problems=4", "--results=out", "--judge_batch=3"]
    done = run(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert "humaneval: 4 problems in python" in done.stdout
    assert re.search(r"^3/4: 75%, .*100\.0% pass", done.stdout, re.MULTILINE)
    assert "pass@1" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["pass@1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    lines = (tmp_path / "out" / "completions.jsonl").read_text().splitlines()
    assert [json.loads(line)["passed"] for line in lines] == [True] * 4

    again = run(tmp_path, *flags)
    assert again.returncode == 2
    assert "go on with it by --resume" in again.stderr
    (tmp_path / "out" / "completions.jsonl").write_text("\n".join(lines[:2]) + "\n" + lines[2][:9])
    resumed = run(tmp_path, *flags, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((tmp_path / "out" / "report.json").read_text())["results"] == {"passed": 4}


def test_what_the_examples_settle_is_drawn_no_more(tmp_path):
    flags = ["--completer=canonical", "--suite_problems=2", "--results=out"]
    done = run(tmp_path, *flags, "--samples=12", "--until_settled")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^20/20: ", done.stdout, re.MULTILINE)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["results"] == {"passed": 20}


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--suite=mbpp"], "set --suite_data or HRM_JAX_CODE_DATA"),
        (
            ["--suite=mbpp", "--suite_data=nowhere"],
            "expected mbpp.jsonl or mbpp.jsonl.gz in nowhere",
        ),
        (["--completer=canonical", "--allow_packages=nowhere"], "install what brings nowhere"),
        (["--completer=buggy"], "humaneval has no buggy solutions"),
        (["--completer=model"], "--completer=model needs --model"),
        (["--completer=canonical", "--pass_k=2"], "ks: expected numbers up to 1, the samples"),
        (["--completer=canonical", "--pass_k=x"], "--pass_k: expected numbers"),
        (["--completer=canonical", "--resume"], "--resume needs --results"),
        (["--completer=canonical", "--suite_problems=999"], "expected 0 to 164 problems"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, flags, message):
    done = run(tmp_path, *flags)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_only_what_a_suite_needs_is_looked_for(tmp_path):
    done = run(tmp_path, "--completer=canonical", "--suite_problems=1", PATH="/nowhere")
    assert done.returncode == 2  # bubblewrap and unshare are nowhere
    assert "install bubblewrap" in done.stderr
    assert " in PATH" not in done.stdout + done.stderr
