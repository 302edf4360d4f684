"""Draws the views of the studio at three widths: the pictures in docs/studio.md.

    for seed in 0 1 2; do
      python -m experiments.sudoku --preset=minute --config.seed=$seed --run=shown/seed-$seed
    done
    python -m experiments.codegen --preset=minute --config.model.H_cycles=2 --run=shown/code
    python -m experiments.assignments --template=work
    python -m experiments.assignments --backlog=work/backlog.csv --team=work/team.yaml \\
        --out=shown/plan.json
    python -m experiments.codegen --mode=generate --model=qwen2.5-coder-0.5b   # fetches it
    python -m experiments.draw_studio --runs=shown --out=docs

A view is drawn once what it waits for is there. `--scheme=dark --out=FOLDER` draws them as they are
at night. Needs Chromium and the extras `studio` and `dev`.
"""

import dataclasses
import io
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from absl import flags
from PIL import Image

from experiments.benchmarks.serving import started
from experiments.common import command
from hrm_jax.core.config import check

WIDTHS = (1440, 834, 390)
_GAP = 20
_SHARE = 0.6
_COLOURS = 96
_FIGURE = ".chart:not([hidden])"
# Whose a run is the studio knows once it has imported the experiments.
_SUDOKU = ".list li.group:has-text('sudoku')"
_MODEL = "qwen2.5-coder-0.5b"
_EXAMPLE = "(example)"
_HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."

Act = Callable[[Any], object]


@dataclasses.dataclass(frozen=True)
class View:
    """A view of the studio.

    Attributes:
      address: behind `#/`.
      awaited: a selector of what is there once it is drawn.
      act: what a person does before that; takes the page.
      height: of the window, in pixels.
      is_first_visit: whether there are no runs.
    """

    address: str
    awaited: str
    act: Act = lambda _: None
    height: int = 900
    is_first_visit: bool = False


def _write(page: Any) -> None:
    page.locator("#model option", has_text=_MODEL).first.wait_for(state="attached")
    page.get_by_role("button", name="Write", exact=True).click()


def _choose_task(page: Any) -> None:
    page.locator("button.task", has_text="join").first.click()


VIEWS = {
    "first": View("watch", ".hero", height=720, is_first_visit=True),
    "watch": View(
        "watch?runs=seed-0,seed-1,seed-2,code&group=experiment&figures=loss$|cell|byte$|norm",
        _SUDOKU,
        height=1000,
    ),
    "new": View("new?experiment=sudoku&preset=minute", ".field"),
    "run": View(f"run?name={_EXAMPLE}&smooth=0.6&zoom=400:1600:train/loss", _FIGURE, height=900),
    "guide": View("guide?figure=train/loss", ".guide .wanted", height=600),
    "think": View(f"think?run={_EXAMPLE}&at=800&thought=5", "td.cell.given", height=800),
    "text": View("think?run=code", ".moved", height=850),
    "compare": View(
        f"compare?runs=seed-0,seed-1,seed-2,{_EXAMPLE}&value=best", ".scatter", height=1650
    ),
    "try": View(f"try?puzzle={_HARD}&go=1", "p[role=status]:has-text('Solved')", height=760),
    "code": View(f"try?what=code&model={_MODEL}", ".verdict:has-text('verified')", _write),
    "plan": View("plans?plan=plan.json", ".task.linked", _choose_task),
}

FLAGS = flags.FLAGS
flags.DEFINE_string("runs", "shown", "folder with the runs that are named above")
flags.DEFINE_string("out", "docs", "folder of the pictures, studio_VIEW.png")
flags.DEFINE_enum("scheme", "light", ["light", "dark"], "colours")
flags.DEFINE_list("views", list(VIEWS), "which")


def main() -> int:
    """Draws the pictures; returns the exit code."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    unknown = [name for name in FLAGS.views if name not in VIEWS]
    check(
        not unknown, "--views", expected=f"of {', '.join(VIEWS)}", got=unknown, remedy="name those"
    )
    check(
        chromium is not None,
        "chromium",
        expected="a browser of this name",
        got=None,
        remedy="install it",
    )
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as empty, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for is_first_visit in (False, True):
            names = [name for name in FLAGS.views if VIEWS[name].is_first_visit is is_first_visit]
            if not names:
                continue
            runs = f"{empty}/runs" if is_first_visit else FLAGS.runs
            studio = [sys.executable, "-m", "experiments.studio", "--port=0", "--no_browser"]
            with started([*studio, f"--runs={runs}"]) as (_, url):
                for name in names:
                    path = out / f"studio_{name}.png"
                    _draw(browser, url, VIEWS[name], path)
                    print(f"{path}: {path.stat().st_size:,} bytes", flush=True)
        browser.close()
    return 0


def _draw(browser: Any, url: str, view: View, path: pathlib.Path) -> None:
    """Writes a picture of a view at all widths, side by side."""
    shots = [_shot(browser, url, view, width) for width in WIDTHS]
    size = sum(shot.width + _GAP for shot in shots) - _GAP, view.height
    whole = Image.new("RGB", size, (200, 200, 200))
    left = 0
    for shot in shots:
        whole.paste(shot, (left, 0))
        left += shot.width + _GAP
    small = whole.resize([round(_SHARE * side) for side in size], Image.Resampling.LANCZOS)
    # The usual method merges the colours of thin curves.
    small.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1).save(path, optimize=True)


def _shot(browser: Any, url: str, view: View, width: int) -> Image.Image:
    context = browser.new_context(
        viewport={"width": width, "height": view.height},
        color_scheme=FLAGS.scheme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}/#/{view.address}")
    view.act(page)
    page.locator(view.awaited).first.wait_for()
    page.wait_for_timeout(1000)  # curves come in parts, and are drawn frame by frame
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return image


if __name__ == "__main__":
    command.run(main, extras="studio")
