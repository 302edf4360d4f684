"""The command of forecasts, run as a user runs it."""

import json

import pytest

from tests import commands
from tests.hrm_jax.planning.forecast import made
from tests.hrm_jax.planning.forecast.learned_test import write_history


def _run(*arguments):
    return commands.run("experiments.forecast", *arguments)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast")
    write_history(folder / "past.csv", 60)
    done = _run("--mode=fit", f"--history={folder / 'past.csv'}", f"--model={folder / 'model'}")
    assert done.returncode == 0, done.stderr
    assert "of the median instead" in done.stdout
    return folder / "model"


def test_from_a_history_to_estimates(model, tmp_path):
    tasks, out = tmp_path / "new.csv", tmp_path / "sized.csv"
    tasks.write_text("key,title,type\nB-1,fix a typo,Bug\nB-2,rewrite the scheduler,Bug\n")
    done = _run(f"--model={model}", f"--tasks={tasks}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    heading, small, large = (line.split(",") for line in out.read_text().splitlines())
    assert heading == ["key", "size", "low", "high"]
    assert float(small[1]) < 4 < float(large[1])
    assert float(large[2]) <= float(large[1]) <= float(large[3])


def test_a_timeline_tells_when_and_what_moves_it(model, tmp_path):
    tasks = tmp_path / "new.csv"
    tasks.write_text(
        "key,title,after,due\na,fix a typo,,1\nb,rewrite the scheduler,a,\nc,fix a typo,,\n"
    )
    flags = ("--mode=timeline", f"--model={model}", f"--tasks={tasks}", "--people=ann,bob")
    done = _run(*flags)
    assert done.returncode == 0, done.stderr
    assert "P85" in done.stdout
    assert "a, due 1, in time" in done.stdout
    assert done.stdout == _run(*flags).stdout


def test_an_evaluation_ends_with_json(tmp_path):
    made.write_sprints(tmp_path, count=80)
    done = _run("--mode=eval", f"--sprints={tmp_path}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["sprints"]
    assert [report["moment"] for report in found["reports"]] == [0, 30, 50, 80]
    assert found["backlogs"]["forecasts"] > 20
    table = [line for line in done.stdout.splitlines()[:-1] if "│" in line]
    assert len(table) >= 8
    assert max(map(len, table)) <= 80


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mode=eval"], "needs --sprints, --story_points or --delays"),
        (["--mode=fit", "--model=x"], "--mode=fit needs --history"),
        (["--mode=fit", "--people=ann"], "--mode=fit does not read --people, only timeline does"),
        (["--model=nowhere", "--tasks=none.csv"], "none.csv"),
    ],
)
def test_what_misses_is_told(flags, message):
    done = _run(*flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
