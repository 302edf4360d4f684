"""Views of the studio in Chromium that follow what happens while one looks on."""

import json
import math
import re
import shutil
import time
import urllib.parse

import pytest

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("psutil", reason="needs the extra studio")

from playwright.sync_api import expect

from experiments.relations.presets import PRESETS as RELATIONS
from experiments.sudoku.presets import PRESETS as SUDOKU
from hrm_jax.core.config import replace, to_dict
from hrm_jax.studio.losses import Losses
from tests.experiments.conftest import ROOT
from tests.experiments.studios import append, studio, write

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
LOGS = sorted((ROOT / "experiments" / "shipped" / "run").glob("[mt]e*.jsonl"))
RECORDS = [(step, 1 / step) for step in range(1, 60)]
NOISE = [1 + 0.3 * math.sin(7 * step) for step in range(200)]
CASES = [[x for _, x in RECORDS], NOISE, NOISE + [3.0] * 20, NOISE[:39], list(range(1, 41))]


def figure_of(page, *names):
    figure = page.locator(".chart", has_text="loss").first.get_by_role("img")
    for name in names:
        expect(figure).to_have_attribute("aria-label", re.compile(rf"\b{name}: \d"))
    return figure


def test_pages_follow_runs_that_come_and_go_and_a_studio_that_is_started_again(page, runs):
    write(runs, "first", RECORDS)
    with studio(runs) as url:
        page.goto(f"{url}/#/watch")
        figure_of(page, "first")
        write(runs, "second", RECORDS)
        # Nobody has chosen it: the newest are shown until somebody chooses.
        figure_of(page, "first", "second")
        port = urllib.parse.urlsplit(url).port
    write(runs, "third", RECORDS)
    with studio(runs, f"--port={port}"):
        # Its cookie is another one; the page gets it by itself.
        figure_of(page, "first", "second", "third")
        page.evaluate("location.hash = '#/run?name=third'")
        expect(page.locator("h1 + .state")).to_have_text("unknown")
        shutil.rmtree(runs / "third")
        expect(page.get_by_text("its folder is not there")).to_be_visible()
        expect(page.locator(".notice")).to_have_count(0)


def test_a_run_that_comes_again_by_the_name_of_one_that_is_gone_is_another(page, runs):
    write(runs, "a", RECORDS)
    with studio(runs) as url:
        page.goto(f"{url}/#/watch?runs=a")
        figure_of(page, "a")
        shutil.rmtree(runs / "a")
        expect(page.locator(".list li")).to_have_count(1)  # the example
        write(runs, "a", [(1, 7.25)])
        expect(figure_of(page)).to_have_attribute("aria-label", re.compile(r"a: 7\.250"))
        append(runs, "a", [(2, 6.5)])
        expect(figure_of(page)).to_have_attribute("aria-label", re.compile(r"a: 6\.500"))
        figure_of(page).press("ArrowLeft")
        told = page.locator(".chart", has_text="loss").first.get_by_role("status")
        expect(told).to_contain_text("step 2 a")


def test_figures_by_keyboard_and_the_bin(page, runs):
    write(runs, "only", RECORDS)
    with studio(runs) as url:
        page.goto(f"{url}/#/run?name=only")
        figure = figure_of(page, "only")
        figure.focus()
        page.keyboard.press("ArrowLeft")
        told = page.locator(".chart", has_text="loss").first.get_by_role("status")
        expect(told).to_contain_text(re.compile(r"step \d+ only"))
        whole = page.get_by_role("button", name="whole").first
        page.keyboard.press("+")
        expect(whole).to_be_visible()
        page.keyboard.press("Escape")
        expect(whole).to_be_hidden()
        with page.expect_download() as saved:
            page.get_by_role("button", name="PNG of train/loss").click()
        assert saved.value.path().read_bytes().startswith(b"\x89PNG")
        page.get_by_label("Filter figures").fill("^nothing")
        expect(page.get_by_text("No figure has such a name")).to_be_visible()
        assert "figures=%5Enothing" in page.url
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("only is in the bin")).to_be_visible()
        assert not (runs / "only").exists()
        expect(page.locator(".notice")).to_have_count(1)  # nothing is told of what was asked before
        write(runs, "other", RECORDS)
        page.locator("summary", has_text="Bin").click()
        page.get_by_role("button", name=re.compile("Put .*-only back")).click()
        expect(page.get_by_text("Nothing was deleted")).to_be_visible()
        assert (runs / "only").is_dir()


def test_a_part_of_a_figure_is_in_the_address_and_can_be_gone_back_from(page, runs):
    write(runs, "only", RECORDS)
    with studio(runs) as url:
        page.goto(f"{url}/#/watch")
        figure = figure_of(page, "only")
        whole = figure.get_attribute("aria-label")
        figure.evaluate("node => { node.isMarked = true; }")
        box = figure.locator(".u-over").bounding_box()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50, steps=3)
        page.mouse.up()
        expect(page).to_have_url(
            re.compile(r"runs=only&zoom=1\d\.?\d*%3A\d\d\.?\d*%3Atrain%2Floss$")
        )
        last = float(urllib.parse.unquote(page.url).split("zoom=")[1].split(":")[1])
        part = re.compile(rf"only: {1 / math.ceil(last):.4g}0*$")
        expect(figure).to_have_attribute("aria-label", part)
        back = page.locator(".chart").first.get_by_role("button", name="whole")
        expect(back).to_be_visible()
        # Another page shows the same part of the same run, though there is a newer one by now.
        write(runs, "newer", RECORDS)
        other = page.context.new_page()
        other.goto(page.url)
        expect(figure_of(other, "only")).to_have_attribute("aria-label", part)
        other.get_by_label("Across").select_option("time")
        expect(other.get_by_role("button", name="whole")).to_have_count(0)
        assert "zoom" not in other.url
        other.close()
        page.go_back()
        expect(figure).to_have_attribute("aria-label", whole)
        expect(back).to_be_hidden()
        page.go_forward()
        expect(figure).to_have_attribute("aria-label", part)
        back.click()
        expect(figure).to_have_attribute("aria-label", whole)
        expect(figure).to_be_focused()
        assert "zoom" not in page.url
        # All that in one view, which was not built anew.
        assert figure.evaluate("node => node.isMarked")


def test_a_part_that_no_run_has_reached_can_be_left(page, runs):
    write(runs, "only", RECORDS)
    with studio(runs) as url:
        page.goto(f"{url}/#/run?name=only&zoom=100:200:train/loss,wrong,3:2:train/steps")
        figure_of(page, "only")
        back = page.get_by_role("button", name="whole")
        expect(back).to_have_count(1)
        append(runs, "only", [(150, 0.5)])
        figure = page.locator(".chart", has_text="loss").first.get_by_role("img")
        expect(figure).to_have_attribute("aria-label", re.compile(r"only: 0\.5000$"))
        back.click()
        expect(back).to_have_count(0)


def test_a_run_that_diverges_is_told_once_and_what_is_long_past_is_not(page, runs):
    write(runs, "old", [(1, 1.0), (2, math.nan)])
    write(runs, "copied", RECORDS)
    write(runs, "live", RECORDS)
    wrong = "train/loss has values that are no numbers"
    page.set_viewport_size({"width": 390, "height": 800})
    with studio(runs) as url:
        page.goto(f"{url}/#/guide")
        expect(page.get_by_role("heading", name="Guide")).to_be_visible()
        # What is copied here from an older log is not what happens now.
        append(runs, "copied", [(60, math.nan)])
        append(runs, "live", [(60, math.nan)], time.time())
        told = page.get_by_role("status").locator(".notice")
        expect(told).to_have_count(1)
        expect(told).to_contain_text(f"live: {wrong}")
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(wide)
        told.get_by_role("button", name="Show it").press("Enter")
        expect(page.get_by_role("heading", name="live")).to_be_visible()
        expect(told).to_have_count(0)
        append(runs, "live", [(61, math.nan)], time.time())
        expect(page.locator(".facts")).to_contain_text("61 / 100")
        page.reload()
        expect(page.get_by_text("live: the loss has values that are no numbers")).to_be_visible()
        append(runs, "live", [(62, math.nan)], time.time())
        expect(page.locator(".facts")).to_contain_text("62 / 100")
        expect(told).to_have_count(0)


def test_a_record_that_comes_while_curves_are_read_is_not_left_out(page, runs):
    write(runs, "only", RECORDS)
    with studio(runs) as url:
        page.goto(f"{url}/#/guide")
        asked = page.evaluate(
            """async () => {
              const {RunCurves} = await import("/page/curves.js");
              const curves = new RunCurves("only"), {fetch} = window;
              let asked = 0;
              window.fetch = (...rest) => {
                asked += String(rest[0]).startsWith("/api/curves");
                return fetch(...rest);
              };
              await Promise.all([curves.grow([]), curves.grow([]), curves.grow([])]);
              return asked;
            }"""
        )
    assert asked == 2


def test_page_and_server_judge_losses_alike(page, runs):
    with studio(runs) as url:
        page.goto(url)
        for values in CASES:
            found = page.evaluate(
                "values => import('/page/curves.js').then(({trouble}) => trouble(values) ?? '')",
                values,
            )
            losses = Losses()
            losses.add("loss", list(range(len(values))), values)
            assert losses.trouble == (f"loss {found}" if found else "")


def test_every_figure_of_our_runs_is_explained(page, runs):
    names = {
        f"{record.get('split', 'telemetry')}/{name}"
        for log in [*LOGS, *ROOT.glob("tests/golden/recorded/*/run/metrics.jsonl")]
        for record in map(json.loads, log.read_text().splitlines())
        for name, value in record.items()
        if name not in ("step", "time_seconds", "version") and isinstance(value, float | int)
    }
    assert {"train/loss", "telemetry/gradient_norm", "validation/bits_per_byte_c"} <= names
    with studio(runs) as url:
        page.goto(url)
        told = page.evaluate(
            "names => import('/page/explain.js').then(({explain}) => names.map(explain))",
            [*sorted(names), "other/unknown"],
        )
    assert [text for text in told if text == told[-1]] == [told[-1]]


def test_accuracies_in_percent_and_logs_without_times_are_shown_as_they_are(page, runs):
    rows = "".join(f"{step},{step},{step / 100}\n" for step in range(91))
    for name in ("foreign", "other"):
        (runs / name).mkdir(parents=True)
        (runs / name / "log.csv").write_text("step,test_accuracy,val_accuracy\n" + rows)
    with studio(runs) as url:
        page.goto(f"{url}/#/run?name=foreign&log=0")
        percent = page.get_by_label("log/test_accuracy, last values. foreign: 90", exact=True)
        expect(percent).to_be_visible()
        expect(page.get_by_label("last values. foreign: 90.0 %")).to_be_visible()
        inside = """node => {
            const {top, bottom} = node.querySelector(".u-over").getBoundingClientRect();
            const point = node.querySelector(".u-cursor-pt").getBoundingClientRect();
            return point.top >= top - 5 && point.bottom <= bottom + 5;
        }"""
        percent.focus()
        page.keyboard.press("ArrowLeft")
        assert percent.evaluate(inside)
        page.get_by_label("logarithmic").check()
        expect(page.get_by_text("Its axis is not logarithmic")).to_have_count(2)
        page.get_by_label("Across").select_option("time")
        expect(page.get_by_text("foreign: its log tells no times")).to_have_count(2)
        page.goto(f"{url}/#/compare?runs=foreign,other")
        expect(page.get_by_text("None of these runs has told when")).to_be_visible()
        expect(page.locator("table", has_text="on the front")).to_contain_text("90")
        expect(page.get_by_text("The same but for seeds")).to_have_count(0)
        expect(page.get_by_text("None of them has a configuration here")).to_be_visible()


def test_huge_values_and_odd_addresses_leave_a_figure_that_can_be_read(page, runs):
    write(runs, "huge", [(1, 1e308), (2, -1e308), (3, 5e-320)])
    with studio(runs) as url:
        page.goto(f"{url}/#/watch?runs=huge&group=none&zoom=x&filter=(")
        figure = figure_of(page, "huge")
        expect(figure.locator(".u-over")).to_be_visible()
        blue = """node => {
            const canvas = node.querySelector("canvas"), {width, height} = canvas;
            const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
            return [...data.keys()].filter(i => i % 4 === 0 && data[i + 2] - data[i] > 80).length;
        }"""
        assert figure.evaluate(blue) > 100


def test_a_defect_of_the_page_is_told(page, runs):
    with studio(runs) as url:
        page.goto(f"{url}/#/guide")
        expect(page.get_by_role("heading", name="Guide")).to_be_visible()
        page.evaluate(
            "() => { dispatchEvent(new ErrorEvent('error', {error: new Error('planted')})); }"
        )
        told = page.locator(".notice", has_text="The page has failed: planted")
        expect(told).to_be_visible()
        # What is told twice a second, such as that a disk is full, is read out once.
        told.evaluate("node => { node.isFirst = true; }")
        again = "({notify}) => notify('The page has failed: planted', {bad: true})"
        page.evaluate(f"() => import('/page/dom.js').then({again})")
        expect(told).to_have_count(1)
        assert told.evaluate("node => node.isFirst")


def test_an_answer_by_rules_is_not_told_as_the_models(page, runs):
    solved = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
    given = f"..{solved[2:]}"
    wrong = {"digits": f"11{solved[2:]}", "sureness": [9] * 81, "confidence": 50}
    done = {"done": True, "title": "79 givens", "solved": True, "attempt": 2, "attempts": 2}
    lines = [
        {"givens": given, "box": [3, 3]},
        {"step": 1, "attempt": 1, **wrong},
        {"step": 1, "attempt": 2, **wrong},
        {**done, "by_rules": solved},
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines)
    page.route(
        "**/api/think",
        lambda route: route.fulfill(body=body, content_type="application/x-ndjson"),
    )
    with studio(runs) as url:
        with page.expect_request("**/api/think") as asked:
            page.goto(f"{url}/#/try?puzzle={given}&search=tree&go=1")
        assert asked.value.post_data_json["search"] == "tree"
        expect(page.get_by_text("✓ Solved in 2 attempts by rules and assumptions")).to_be_visible()
        expect(page.locator("output[for=moment]")).to_have_text("the answer")
        assert "".join(page.locator(".board td span").all_inner_texts()) == solved
        expect(page.get_by_text("the model has proposed something else")).to_be_visible()
        page.get_by_label("Thought", exact=True).press("Home")
        expect(page.get_by_text("50 % sure of the whole")).to_be_visible()


def test_a_run_is_duplicated_from_the_preset_that_it_differs_least_from(page, runs):
    for name, preset in (("a", SUDOKU["quick"]), ("b", RELATIONS["colouring_minute"])):
        write(runs, name, RECORDS)
        config = to_dict(replace(preset, {"loop.steps": 7}))
        (runs / name / "config.json").write_text(json.dumps(config))
    with studio(runs) as url:
        for name, preset in (("a", "quick"), ("b", "colouring_minute")):
            page.goto(f"{url}/#/run?name={name}")
            page.get_by_role("link", name="Duplicate with changes").click()
            expect(page.get_by_label("Preset")).to_have_value(preset)
            expect(page.locator(".field.changed")).to_have_count(1)
            expect(page.get_by_label("loop.steps")).to_have_value("7")
            command = page.get_by_label("Equivalent command line")
            expect(command).to_contain_text(f"--preset={preset} --config.loop.steps=7 --run=")


def test_the_guide_links_to_the_documentation(page, runs):
    with studio(runs) as url:
        page.goto(f"{url}/#/guide?figure=train%2Floss")
        with page.expect_popup() as opened:
            page.get_by_role("link", name="sudoku.md").click()
        expect(opened.value.locator("body")).to_contain_text("Sudoku")


def test_probes_of_another_form_are_told_and_leave_no_blank_page(page, runs):
    write(runs, "hostile", RECORDS)
    record = {"step": 1, "kind": "sudoku", "puzzles": [{"givens": 3}]}
    (runs / "hostile" / "probes.jsonl").write_text(json.dumps(record) + "\n")
    with studio(runs) as url:
        page.goto(f"{url}/#/think?run=hostile")
        expect(page.get_by_role("alert")).to_contain_text("What was probed cannot be shown")
