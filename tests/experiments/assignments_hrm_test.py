"""The planner `hrm` by its command: the model that ships, training, and what is refused."""

import json

import pytest

from tests.experiments.assignments_test import inputs, run
from tests.hrm_jax.planning.formats.files_test import DZN

pytestmark = pytest.mark.usefixtures("compiled_planner")

HRM = ("--planner=hrm", "--iterations=40", "--noreasons")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work") / "new"
    run(f"--template={folder}")
    return folder


def test_the_shipped_model_plans_and_replans(example):
    said = run(*inputs(example), *HRM, f"--out={example}/plan.json")
    assert "plan by hrm" in said
    assert "makespan 56 ticks" in said
    again = run("--mode=replan", *inputs(example), *HRM, f"--last={example}/plan.json")
    assert "nothing changes" in again


def test_training_takes_the_fields_of_its_configuration():
    said = run("--mode=train", "--config.examples.problms=3", code=2)
    assert "--config.examples.problms: unknown field; the nearest is examples.problems" in said
    assert "--config.loop.steps=2000" in run("--mode=train", "--help", code=1).replace("\n", " ")
    # Others do without: a configuration takes the import of JAX to be known.
    assert "Unknown command line flag 'preset'" in run("--mode=plan", "--preset=minute", code=2)


@pytest.mark.thorough
def test_a_run_is_of_the_configuration_that_the_flags_say(tmp_path):
    flags = ("--preset=minute", "--config.examples.problems=4", "--config.examples.held_out=1")
    flags += ("--config.loop.steps=2", "--config.measured_tries=3", f"--config.data_dir={tmp_path}")
    said = run(*flags, f"--run={tmp_path / 'run'}")
    assert f"--checkpoint={tmp_path / 'run' / 'model'}" in said.replace("\n", "")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["examples"]["problems"] == 4


def test_an_evaluation_tells_ablations_apart(tmp_path):
    (tmp_path / "one.dzn").write_text(DZN)
    best = tmp_path / "best.csv"
    best.write_text("instance,proven_optimal,lower_bound,makespan,seconds\none.dzn,1,6,6,0\n")
    results = tmp_path / "results.jsonl"
    command = ("--mode=eval", f"--instances={tmp_path}", f"--best={best}", *HRM)
    for ablation in ("none", "random"):
        said = run(*command, f"--ablation={ablation}", f"--results={results}")
        assert json.loads(said.splitlines()[-1])["feasible"] == 1
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [row["ablation"] for row in rows] == ["none", "random"]


def test_the_gain_of_the_model_with_the_exact_planner(tmp_path):
    (tmp_path / "one.dzn").write_text(DZN)
    command = ("--mode=efficiency", f"--instances={tmp_path}", "--planner=hrm+exact")
    figures = json.loads(run(*command, "--iterations=10", "--workers=2").splitlines()[-1])
    assert figures["planner"] == "hrm+exact"
    assert figures["classes"]["all"]["instances"] == 1


def test_a_folder_without_a_model_is_named(example):
    said = run(*inputs(example), *HRM, f"--checkpoint={example}", code=2)
    assert str(example) in said
