"""The studio in Chromium: what a person sees and does, with real runs and processes."""

import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("psutil", reason="needs the extra studio")

from playwright.sync_api import expect

from hrm_jax.data.sudoku.boards import SYMBOLS
from tests.experiments.codegen.saved_run import save_run
from tests.experiments.conftest import ROOT
from tests.experiments.studios import HOSTILE, append, studio, write
from tests.hrm_jax.studio.plans_test import TEXT as PLAN

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")

SMALL = {
    "loop.steps": "4000",
    "loop.log_every": "2",
    "loop.evaluate_every": "20",
    "loop.checkpoint_every": "1000",
    "model.hidden_size": "16",
    "batch_size": "4",
    "validation.puzzles": "4",
    "validation.batch_size": "4",
}
SERIOUS = ("serious", "critical")
VIEWS = ("watch", "think", "try", "try?what=code", "new", "guide")


SIX = ".14..36........53...61...2....3.5.2."
TWENTY_FIVE = "".join(
    SYMBOLS[(5 * (row % 5) + row // 5 + column) % 25 + 1] if (row, column) != (0, 0) else "."
    for row in range(25)
    for column in range(25)
)


def process_of(runs, name):
    return json.loads((runs / name / "process.json").read_text())


def has_state(page, state):
    expect(page.locator("h1 + .state")).to_have_text(state)


def test_a_run_is_started_watched_stopped_resumed_killed_and_deleted(page, runs):
    with studio(runs) as url:
        page.goto(url)
        page.get_by_text("Train for a minute").click()
        page.locator("#name").fill("first")
        # A wrong value says why before anything starts.
        steps = page.get_by_label("loop.steps")
        steps.fill("0")
        expect(page.locator(".field.wrong .problem")).to_have_text(
            "expected 1 or more, got 0; set 1 or more"
        )
        expect(page.get_by_role("button", name="Start")).to_be_disabled()
        for path, value in SMALL.items():
            page.locator(f'[id="field-{path}"]').evaluate(
                "node => { node.closest('details').open = true; }"
            )
            page.locator(f'[id="field-{path}"]').fill(value)
        expect(page.locator(".field.changed")).to_have_count(len(SMALL))
        command = page.get_by_label("Equivalent command line")
        expect(command).to_contain_text("--config.loop.steps=4000 --config.loop.log_every=2")
        page.get_by_role("button", name="Start").click()
        has_state(page, "running")
        figure = page.locator(".chart", has_text="loss").first.get_by_role("img")
        expect(figure).to_have_attribute(
            "aria-label", re.compile(r"train/loss, last values. first: \d")
        )
        before = figure.get_attribute("aria-label")
        expect(figure).not_to_have_attribute("aria-label", before)  # the curve grows by itself
        page.goto(f"{url}/#/think?run=first")
        expect(page.get_by_role("heading", name="Puzzle 4")).to_be_visible()
        assert "step" in page.locator("output").first.inner_text()
    # The run outlives the studio, and another one finds it.
    with studio(runs) as url:
        page.goto(f"{url}/#/run?name=first")
        has_state(page, "running")
        page.get_by_role("button", name="Stop and save").click()
        has_state(page, "stopped")
        assert process_of(runs, "first")["state"] == "stopped"
        page.get_by_role("button", name="Resume").click()
        has_state(page, "running")
        os.kill(process_of(runs, "first")["pid"], signal.SIGKILL)
        has_state(page, "killed")
        expect(page.get_by_role("button", name="Resume")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Put it back").click()
        has_state(page, "killed")
        assert (runs / "first" / "config.json").exists()


def test_puzzles_are_solved_and_bad_ones_refused(page, runs):
    with studio(runs) as url:
        page.goto(f"{url}/#/try")
        page.get_by_label("Puzzle", exact=True).fill("12345")
        page.get_by_role("button", name="Solve").click()
        expect(page.get_by_role("alert")).to_contain_text(
            "a puzzle has 81 characters, row by row, but this one has 5"
        )
        page.get_by_role("button", name="an easy one").click()
        expect(page.get_by_text("✓ Solved")).to_be_visible()
        cells = page.locator(".board td span").all_inner_texts()
        assert "".join(cells[:9]) == "534678912"


def test_puzzles_of_other_sizes_are_read_as_the_command_reads_them(page, runs):
    with studio(runs) as url:
        page.goto(f"{url}/#/try")
        page.get_by_label("Puzzle", exact=True).fill(SIX)
        page.get_by_role("button", name="Solve").click()
        expect(page.get_by_role("alert")).to_contain_text("say how many rows and columns")
        shapes = page.get_by_role("group", name="Rows x columns of its boxes")
        expect(shapes.get_by_role("button")).to_have_text(["2x3", "3x2"])
        shapes.get_by_text("2x3").press("Enter")
        expect(page.get_by_text("✓ Solved, checked by the rules: 6x6 with boxes")).to_be_visible()
        expect(page.locator("td.cell")).to_have_count(36)
        expect(page.locator("td.cell.right")).to_have_count(6)
        expect(page.locator("td.cell.below")).to_have_count(12)
        assert "box=2x3" in page.url
        # The shape was of another puzzle; this one leaves nothing open.
        page.set_viewport_size({"width": 390, "height": 800})
        page.get_by_label("Puzzle", exact=True).fill(TWENTY_FIVE)
        page.get_by_role("button", name="Solve").click()
        expect(page.locator("td.cell")).to_have_count(625)
        expect(page.locator("td.cell").nth(624)).to_have_text("O")
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(wide)
        assert "box=" not in page.url


def test_the_example_is_there_at_the_first_visit_and_only_read(page, runs):
    with studio(runs) as url:
        page.goto(url)
        page.get_by_text("Open a finished run").click()
        figure = page.locator(".chart", has_text="loss").first.get_by_role("img")
        expect(figure).to_have_attribute("aria-label", re.compile(r"train/loss, last values"))
        expect(page.get_by_text("read only")).to_be_visible()
        assert page.get_by_role("button", name=re.compile("Delete|Resume|Stop")).count() == 0
        page.get_by_text("See it think").click()
        expect(page.get_by_role("heading", name="Puzzle 4")).to_be_visible()
        thought = page.get_by_label("Thought", exact=True)
        thought.press("Home")
        expect(page.locator("output[for=thought]")).to_have_text("step 1 of 16")
    assert not runs.exists()


def test_code_is_streamed_verified_only_by_tests_and_cancelled(page, runs):
    save_run(runs / "code")
    with studio(runs) as url:
        page.goto(f"{url}/#/try")
        page.get_by_role("link", name="Write code").click()
        # Whose run it is the studio knows once it has imported the experiments.
        expect(page.locator("#model")).to_have_value("run:code")
        verdict = page.locator(".verdict")
        page.evaluate(
            """() => {
              window.sizes = new Set();
              const text = document.querySelector(".written");
              const look = () => window.sizes.add(text.textContent.length);
              new MutationObserver(look).observe(text, {childList: true});
            }"""
        )
        page.get_by_label("Text to go on from").fill("x = ")
        page.get_by_role("button", name="Write", exact=True).click()
        expect(verdict).to_contain_text("✕ not verified: no tests were given, so it was not run")
        # The prompt, a part, and the whole at the least: pieces may come together.
        assert page.evaluate("window.sizes.size") >= 3
        page.get_by_text("How it is written").click()
        page.get_by_label("Tokens at most").fill("1")
        page.get_by_label("Text to go on from").fill("def one():\n    return 1\n#")
        page.get_by_label("Tests", exact=True).fill("assert one() == 2")
        page.get_by_role("button", name="Write", exact=True).click()
        expect(verdict).to_contain_text(re.compile("✕ not verified: (passed 0 of 1|no sandbox)"))
        expect(page.locator(".written.passed")).to_have_count(0)
        if "passed 0 of 1" in verdict.inner_text():
            page.get_by_label("Tests", exact=True).fill("assert one() == 1")
            page.get_by_role("button", name="Write", exact=True).click()
            expect(verdict).to_contain_text("✓ verified: passes the tests (1 attempt")
            expect(page.locator(".written.passed")).to_have_count(1)
        # Another checkpoint is loaded first, which leaves time to think better of it.
        page.get_by_label("Checkpoint").select_option(label="step 40")
        page.get_by_role("button", name="Write", exact=True).click()
        page.get_by_role("button", name="Cancel").click()
        expect(verdict).to_have_text("Cancelled: what is there is not verified.")
        expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
        page.get_by_label("Tests", exact=True).fill("1")
        page.get_by_role("button", name="Write", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("got none that use a name of it")


def test_every_view_shows_foreign_runs_as_text_and_fits_a_phone(page, runs):
    write(runs, HOSTILE, [(step, 1 / step) for step in range(1, 100)])
    write(runs, "rising", [(step, step / 10) for step in range(1, 100)])
    with open(runs / "rising" / "metrics.jsonl", "a") as file:
        file.write("{\n")
    with studio(runs) as url:
        page.set_viewport_size({"width": 390, "height": 800})
        for view in (*VIEWS, f"run?name={HOSTILE}", "compare"):
            page.goto(f"{url}/#/{view}")
            page.reload()
            expect(page.locator("h1").first).to_be_attached()
            wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            assert not page.evaluate(wide), view
        assert page.locator("img").count() == 0
        page.goto(f"{url}/#/watch")
        expect(page.get_by_text("rising: the loss is rising")).to_be_visible()
        expect(page.get_by_text("rising: 1 damaged lines left out")).to_be_visible()
        page.get_by_label("Filter names").fill("^ris")
        expect(page.locator(".list li")).to_have_count(1)
        page.get_by_label("logarithmic").check()
        assert "filter=%5Eris" in page.url
        assert "log=1" in page.url
        page.get_by_label("Across").select_option("steps, log")
        assert "x=logstep" in page.url
        figure = page.locator(".chart").first
        figure.locator(".plot").press("ArrowLeft")
        expect(figure.get_by_role("status")).to_contain_text("step 99")
        # A run that comes later is shown as soon as it does.
        page.goto(f"{url}/#/run?name=later")
        expect(page.get_by_text("There is no such run")).to_be_visible()
        write(runs, "later", [(1, 1.0)])
        expect(page.locator("h1 + .state")).to_be_visible()


def test_runs_are_tagged_grouped_and_weighed_against_their_cost(page, runs):
    for number, name in enumerate(("quick", "slow", "worse")):
        write(runs, name, [(step, step / 10) for step in range(1, 6)])
        folder = runs / name
        config = {"loop": {"steps": 100}, "seed": number}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "size.json").write_text(json.dumps({"parameters": 1000 * (number + 1)}))
        reached = [(1, 0.2), (2, 0.9 - number / 4), (3, 0.1)]
        lines = [
            {
                "step": s,
                "time_seconds": 1e9 + s * (number + 1),
                "split": "validation",
                "accuracy": x,
            }
            for s, x in reached
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    with studio(runs) as url:
        page.goto(f"{url}/#/run?name=quick")
        page.get_by_label("Tags").fill("good #first")
        page.get_by_role("button", name="Keep").click()
        expect(page.get_by_text("The tags are kept")).to_be_visible()
        assert json.loads((runs / "quick" / "tags.json").read_text())["tags"] == ["first", "good"]
        page.goto(f"{url}/#/watch")
        page.get_by_label("Filter names").fill("#good")
        expect(page.locator(".list li")).to_have_count(1)
        page.get_by_label("Filter names").fill("")
        page.get_by_label("Group by").select_option("tag")
        expect(page.locator(".list li.group")).to_have_text(["#first", "none"])
        page.get_by_label("best so far").check()
        assert "best=1" in page.url
        figure = page.locator(".chart", has_text="accuracy").get_by_role("img")
        expect(figure).to_have_attribute("aria-label", re.compile("last values"))
        page.goto(f"{url}/#/compare?runs=quick,slow,worse")
        table = page.locator("table", has_text="value of")
        expect(table.locator("tr", has_text="validation/accuracy")).to_contain_text("10.0 %")
        page.locator("select", has_text="the best so far").select_option("best")
        expect(table.locator("tr", has_text="validation/accuracy")).to_contain_text("90.0 %")
        seeds = page.locator("table", has_text="The same but for seeds")
        expect(seeds.locator("tr", has_text="validation/accuracy")).to_contain_text("± 25.0 %")
        front = page.locator("table", has_text="on the front")
        expect(front.locator("tr", has_text="quick")).to_contain_text("of time, of parameters")
        expect(front.locator("tr", has_text="slow").locator("td").last).to_have_text("")
        expect(page.locator("svg.scatter")).to_have_count(2)


def test_a_plan_is_opened_from_the_folder_and_from_elsewhere(page, runs, tmp_path):
    runs.mkdir()
    (runs / "week.json").write_text(PLAN)
    (tmp_path / "other.json").write_text(PLAN.replace("somebody", "another"))
    (tmp_path / "none.json").write_text('{"assignments": []}')
    with studio(runs) as url:
        page.goto(f"{url}/#/plans")
        page.locator("#plan").select_option("week.json")
        task = page.get_by_role("button", name="b, 2 to 5, critical, late")
        task.focus()
        told = page.locator("p[role=status]", has_text="b (2 to 5), due 4: given to ann for sql")
        expect(told).to_be_visible()
        expect(page.locator(".task.linked")).to_have_text("a <b>tables</b>")
        expect(page.locator(".lane .due")).to_have_count(1)
        expect(page.get_by_text("by somebody")).to_be_visible()
        page.get_by_label("or open a file").set_input_files(tmp_path / "other.json")
        expect(page.get_by_text("by another")).to_be_visible()
        page.get_by_label("or open a file").set_input_files(tmp_path / "none.json")
        expect(page.get_by_text("none.json: expected a plan with a chart")).to_be_visible()


def test_axe_finds_nothing_serious(browser, runs):
    carrier = pytest.importorskip("axe_playwright_python", reason="needs axe-core")
    axe = pathlib.Path(carrier.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    for name in ("a", "b"):
        write(runs, name, [(step, 1 / step) for step in range(1, 100)])
    sample = {"prompt": "def f():", "completion": HOSTILE, "parses": True}
    thought = {"tokens": ["def", HOSTILE], "next": [[HOSTILE, 40]], "H": [[3, 90]], "L": [[5, 7]]}
    probe = {"kind": "text", "samples": [sample], "thoughts": [thought]}
    (runs / "a" / "probes.jsonl").write_text(json.dumps({"step": 1, **probe}) + "\n")
    (runs / "week.json").write_text(PLAN)
    # The page's own policy would keep axe out.
    context = browser.new_context(color_scheme="light", bypass_csp=True, reduced_motion="reduce")
    found = []
    with studio(runs) as url:
        page = context.new_page()
        own = ("run?name=a", "compare?runs=a,b", "think?run=a", "plans?plan=week.json")
        asked = f"try?puzzle={SIX}"
        for view in (*VIEWS, *own, asked):
            page.goto(f"{url}/#/{view}")
            page.reload()
            expect(page.locator("h1").first).to_be_attached()
            if view == asked:
                page.get_by_role("button", name="Solve").click()
                append(runs, "a", [(100, math.nan)], time.time())
                expect(page.get_by_role("button", name="2x3")).to_be_visible()
                expect(page.locator(".notice")).to_have_count(1)
            page.evaluate(axe)
            found += serious(page, view, "{resultTypes: ['violations']}", passes=10)
            # Only colours are others in the dark.
            page.emulate_media(color_scheme="dark")
            found += serious(page, f"{view}, dark", "{runOnly: ['color-contrast']}", passes=0)
            page.emulate_media(color_scheme="light")
    context.close()
    assert found == []


def serious(page, view, options, passes):
    """What axe finds in a view; more than so many rules have to pass."""
    told = page.evaluate(f"axe.run({options})")
    assert len(told["passes"]) > passes
    return [(view, one["id"]) for one in told["violations"] if one["impact"] in SERIOUS]


def test_with_a_token_the_page_asks_for_it(page, runs, tmp_path):
    (tmp_path / "tokens").write_text("right\n")
    with studio(runs, f"--token_file={tmp_path / 'tokens'}") as url:
        page.goto(url)
        page.get_by_label("A token").fill("wrong")
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_text("This token is not one of those")).to_be_visible()
        page.get_by_label("A token").fill("right")
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_text("Train a model, and watch it think")).to_be_visible()


@pytest.mark.thorough
def test_other_addresses_need_a_token(runs):
    command = [sys.executable, "-m", "experiments.studio", "--port=0", "--host=0.0.0.0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--token_file: expected a file with a token a line" in done.stderr
