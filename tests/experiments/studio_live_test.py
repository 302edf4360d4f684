"""Views of the studio in Chromium that follow what happens while one looks on."""

import json
import re
import shutil
import urllib.parse

import pytest

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("psutil", reason="needs the extra studio")

from playwright.sync_api import expect

from tests.experiments.studios import studio, write

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
RECORDS = [(step, 1 / step) for step in range(1, 60)]


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


def test_probes_of_another_form_are_told_and_leave_no_blank_page(page, runs):
    write(runs, "hostile", RECORDS)
    record = {"step": 1, "kind": "sudoku", "puzzles": [{"givens": 3}]}
    (runs / "hostile" / "probes.jsonl").write_text(json.dumps(record) + "\n")
    with studio(runs) as url:
        page.goto(f"{url}/#/think?run=hostile")
        expect(page.get_by_role("alert")).to_contain_text("What was probed cannot be shown")
