"""The command, as a person calls it."""

import json

import pytest

from tests import commands
from tests.hrm_jax.planning.formats.files_test import DZN

pytestmark = pytest.mark.usefixtures("compiled_planner")

FAST = ("--planner=restarts", "--iterations=60")


def run(*arguments, code=0):
    ended = commands.run("experiments.assignments", *arguments)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout if code != 2 else ended.stderr


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example, planned, with every file that a plan can be written to."""
    folder = tmp_path_factory.mktemp("work") / "new"
    run(f"--template={folder}")
    files = [folder / f"plan.{end}" for end in ("json", "csv", "md", "mmd", "ics", "png", "html")]
    said = run(*inputs(folder), *FAST, f"--out={','.join(map(str, files))}")
    return folder, said


def inputs(folder):
    return f"--backlog={folder}/backlog.csv", f"--team={folder}/team.yaml"


def test_a_plan_is_shown_with_reasons_and_risks(example):
    folder, said = example
    assert "schema: given to ada for python+sql; nobody else could" in said
    assert "risk (single person): only cem has design, which look needs" in said
    assert "makespan 56 ticks, done Wed 14 Jan 2026 17:00" in said
    assert "done by: P50 " in said
    assert (folder / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_needs_no_network_and_holds_each_task(example):
    page = (example[0] / "plan.html").read_text(encoding="utf-8")
    assert "http" not in page
    for task in ("schema", "api", "page", "look", "join"):
        assert f'data-task="{task}"' in page


def test_a_plan_by_hand_is_judged(example):
    folder, _ = example
    assert "no rule is broken" in run(
        "--mode=check", *inputs(folder), *FAST, f"--plan={folder}/plan.csv"
    )
    broken = folder / "broken.csv"
    text = (folder / "plan.csv").read_text(encoding="utf-8")
    broken.write_text(text.replace("look,@0,@8,cem", "look,@0,@8,ben"), encoding="utf-8")
    said = run("--mode=check", *inputs(folder), *FAST, f"--plan={broken}", code=1)
    assert "broken: skills: look needs design, got ben (python+web)" in said


def test_replanning_shows_what_changes(example):
    folder, _ = example
    last = f"--last={folder}/plan.json"
    assert "nothing changes" in run("--mode=replan", *inputs(folder), *FAST, last)
    longer = folder / "longer.csv"
    text = (folder / "backlog.csv").read_text(encoding="utf-8")
    longer.write_text(text.replace("Interface for orders,3,2,5", "Interface for orders,5,2,5"))
    said = run("--mode=replan", f"--backlog={longer}", inputs(folder)[1], *FAST, last)
    assert "join" in said[said.index("people before") :]


def test_one_more_person_is_compared(example):
    said = run("--mode=whatif", *inputs(example[0]), *FAST, "--with_person=python;sql")
    assert "as it is: makespan 56 ticks" in said
    assert "what if: makespan" in said


def test_a_forecast_is_told_and_written(example):
    folder, _ = example
    out = folder / "forecast.json"
    said = run("--mode=forecast", *inputs(folder), f"--plan={folder}/plan.json", f"--out={out}")
    assert "what moves the end most" in said
    found = json.loads(out.read_text(encoding="utf-8"))
    ticks = [found["whole"][name]["tick"] for name in ("P50", "P85", "P95")]
    assert 40 < ticks[0] < ticks[1] < ticks[2]
    assert [row["task"] for row in found["due"]] == ["api", "join"]
    past = folder / "past.csv"
    rows = [
        f"P-{i},t,{2 if i % 2 else 1},1,2025-0{1 + i // 28}-{1 + i % 28:02d}" for i in range(90)
    ]
    past.write_text("\n".join(["key,title,size,estimate,finished", *rows]), encoding="utf-8")
    command = ("--mode=forecast", *inputs(folder), f"--plan={folder}/plan.json")
    said = run(*command, f"--history={past}")
    assert "the errors of 90 past estimates" in said
    assert "as past weeks" in said


def test_stories_are_split_into_a_file_and_planned_when_accepted(example):
    folder, _ = example
    backlog, proposed = folder / "stories.csv", folder / "proposed.csv"
    story = "As a clerk, I want to add and remove orders, so that they are right"
    backlog.write_text(f'id,title,estimate,skills\ns1,"{story}",2,python\n', encoding="utf-8")
    given = (f"--backlog={backlog}", inputs(folder)[1], *FAST)
    assert "3 tasks proposed for 1 story" in run(*given, f"--split={proposed}")
    assert "expected a new file" in run(*given, f"--split={proposed}", code=2)
    assert "got none; read the proposals" in run(*given, f"--accept={proposed}", code=2)
    text = proposed.read_text(encoding="utf-8")
    proposed.write_text(text.replace(",proposed,", ",accepted,"), encoding="utf-8")
    assert "Remove orders" in run(*given, f"--accept={proposed}")


def test_a_drawn_backlog_and_what_is_gained(tmp_path):
    said = run(f"--draw={tmp_path}", "--size=30x20")
    command = said.split("experiments.assignments ")[1].split()
    assert "done by: P50" in run(*command)
    figures = run("--mode=efficiency", "--planner=dispatch", "--limit=1").splitlines()[-1]
    classes = json.loads(figures)["classes"]
    assert classes["all"]["instances"] == 6
    assert all(row["completion"] <= row["room"] for row in classes.values())


def test_the_gain_of_the_default_planner(tmp_path):
    (tmp_path / "x.dzn").write_text(DZN, encoding="utf-8")
    command = ("--mode=efficiency", f"--instances={tmp_path}", "--iterations=10", "--workers=2")
    figures = json.loads(run(*command).splitlines()[-1])
    assert figures["planner"] == "exact"
    assert figures["classes"]["all"]["instances"] == 1


def test_an_evaluation_ends_with_a_line_and_goes_on(tmp_path):
    for name in ("x.dzn", "y.dzn"):
        (tmp_path / name).write_text(DZN, encoding="utf-8")
    best = tmp_path / "best.csv"
    rows = "x.dzn,1,6,6,0\ny.dzn,0,5,7,0\n"
    best.write_text("instance,proven_optimal,lower_bound,makespan,seconds\n" + rows)
    results = tmp_path / "results.jsonl"
    command = ("--mode=eval", f"--instances={tmp_path}", f"--best={best}", *FAST)
    figures = json.loads(run(*command, f"--results={results}").splitlines()[-1])
    assert {name: figures[name] for name in ("instances", "feasible", "optimal")} == {
        "instances": 2,
        "feasible": 2,
        "optimal": 1,
    }
    assert (figures["known_optimal"], figures["better_than_best"]) == (1, 1)
    assert figures["mean_gap"] == pytest.approx((6 / 7 - 1) / 2, abs=1e-4)
    before = results.read_text(encoding="utf-8")
    again = json.loads(run(*command, f"--results={results}").splitlines()[-1])
    assert again == figures
    assert results.read_text(encoding="utf-8") == before

    other = tmp_path / "other.jsonl"
    rows = [json.loads(line) for line in before.splitlines()]
    worse = [{**rows[0], "planner": "slow", "makespan": 9}, {**rows[1], "planner": "slow"}]
    other.write_text("".join(json.dumps(row) + "\n" for row in worse), encoding="utf-8")
    compared = json.loads(run(*command, f"--against={other}").splitlines()[-1])
    assert (compared["against"], compared["better"], compared["worse"]) == ("slow", 1, 0)
    assert compared["difference"] == pytest.approx((6 / 6 - 9 / 6) / 2)
    assert compared["interval"] == [-0.5, 0]
    mixed = [rows[0], {**rows[1], "seed": 5}]
    several = "all with the same settings, got several"
    for lines, message in (
        (rows[:1], "a result of y.dzn, got none"),
        (2 * rows, several),
        (mixed, several),
        ([{**rows[0], "planner": "slow"}, rows[1]], several),
        ([{key: value for key, value in rows[0].items() if key != "seed"}], "line 1: expected"),
    ):
        other.write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
        assert message in run(*command, f"--against={other}", code=2)
    other.unlink()
    assert "other.jsonl" in run(*command, f"--against={other}", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mode=plan",), "backlog: expected a file of tasks"),
        (("--backlog=absent.csv",), "absent.csv"),
        (("--mode=eval",), "instances: expected a folder or an archive"),
        (("--draw=x", "--size=9x9"), "size: expected a number of tasks and of people (20 or more)"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, message):
    assert message in run(*arguments, code=2)
