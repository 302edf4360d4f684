"""How long it takes from a command to the first curve in a browser: the studio beside others.

Each tool is started with the same run, the example that comes with the package, and Chromium waits
until it has drawn a line. How soon after asking for the page something was painted, and how much
came over the wire until the line was there, is the browser's own record. A tool that is not
installed is left out.
"""

import importlib.resources
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from rich.console import Console

from experiments.common.terminal import Table

_TRACKIO_WRITER = """
import json, sys, trackio
trackio.init(project="hrm_jax", name="run", embed=False)
for line in open(sys.argv[1]):
    record = json.loads(line)
    step, split, _ = record.pop("step"), record.pop("split"), record.pop("time_seconds")
    trackio.log({f"{split}/{name}": value for name, value in record.items()}, step=step)
trackio.finish()
"""
_LINES = {
    "studio": ".chart canvas",
    "tensorboard": ".series-view > canvas, .series-view > svg path",
    "trackio": ".vega-embed canvas.marks",
}
_PATHS = {"studio": "/#/watch", "tensorboard": "/#timeseries", "trackio": "/?project=hrm_jax"}
_MOST_SECONDS = 120
_PAINT = 'performance.getEntriesByName("first-contentful-paint")[0]?.startTime'
_WIRE = """["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
  .reduce((sum, entry) => sum + entry.transferSize, 0)"""


def run(tools: list[str], rounds: int, console: Console) -> dict[str, Any]:
    """Measures, prints a table, and returns the figures.

    Args:
      tools: commands to compare with, tensorboard and trackio, by name or path.
      rounds: of each tool, in turn.
      console: where to print.
    """
    from playwright.sync_api import sync_playwright

    found = {pathlib.Path(tool).name: shutil.which(tool) for tool in tools}
    commands = {"studio": [sys.executable, "-m", "experiments.studio", "--no_browser"]}
    commands |= {name: [path] for name, path in found.items() if path is not None}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        root = pathlib.Path(folder)
        environment = _prepare(root, found.get("trackio"))
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(rounds):
            for name, command in commands.items():
                port = _free_port()
                page = browser.new_page()
                whole = [*command, *_flags(name, root, port)]
                turns[name].append(_until_line(name, whole, port, environment, page))
                page.close()
        browser.close()
    table = Table(title="from the command to the first curve in Chromium, turn by turn")
    for title in ("tool", "first curve, s", "first paint, s", "wire, kB"):
        table.add_column(title)
    for name, measured in turns.items():
        curves = ", ".join(f"{turn['seconds']:.1f}" for turn in measured)
        paints = ", ".join(f"{turn['paint_seconds']:.2f}" for turn in measured)
        table.add_row(name, curves, paints, f"{measured[-1]['wire_bytes'] / 1000:.0f}")
    console.print(table)
    return {"turns": turns}


def _prepare(root: pathlib.Path, trackio: str | None) -> dict[str, str]:
    """Writes the run for every tool; returns the environment of their processes."""
    import tensorboardX

    example = pathlib.Path(str(importlib.resources.files("experiments"))) / "shipped" / "run"
    shutil.copytree(example, root / "runs" / "run")
    metrics = example / "metrics.jsonl"
    with tensorboardX.SummaryWriter(str(root / "events" / "run")) as writer:
        for line in metrics.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            for name in record.keys() - {"step", "split", "time_seconds"}:
                tag = f"{record['split']}/{name}"
                writer.add_scalar(tag, record[name], record["step"], record["time_seconds"])
    environment = os.environ | {"TRACKIO_DIR": str(root / "trackio")}
    if trackio is not None:
        python = pathlib.Path(trackio).parent / "python"
        command = [str(python), "-c", _TRACKIO_WRITER, str(metrics)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    return environment


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _flags(name: str, root: pathlib.Path, port: int) -> list[str]:
    return {
        "studio": [f"--runs={root / 'runs'}", f"--port={port}"],
        "tensorboard": [f"--logdir={root / 'events'}", f"--port={port}"],
        "trackio": ["show", "--project", "hrm_jax"],
    }[name]


def _until_line(
    name: str, command: list[str], port: int, environment: dict[str, str], page: Any
) -> dict[str, float]:
    """Returns the seconds from starting a tool until a line is drawn, and the browser's record.

    Its process is ended.
    """
    own = environment | {"GRADIO_SERVER_PORT": str(port), "BROWSER": "true"}
    begun = time.monotonic()
    process = subprocess.Popen(
        command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                page.goto(f"http://127.0.0.1:{port}{_PATHS[name]}")
                break
            except Exception as error:  # of the driver, whose class is not public: nobody listens
                if process.poll() is not None or time.monotonic() - begun > _MOST_SECONDS:
                    raise RuntimeError(f"{name} does not answer: {error}") from error
                time.sleep(0.05)
        page.locator(_LINES[name]).first.wait_for(timeout=1000 * _MOST_SECONDS)
        seconds = time.monotonic() - begun
        while (paint := page.evaluate(_PAINT)) is None:
            page.wait_for_timeout(50)  # it is recorded a little after it was painted
        return {
            "seconds": seconds,
            "paint_seconds": paint / 1000,
            "wire_bytes": page.evaluate(_WIRE),
        }
    finally:
        process.terminate()
        process.wait(timeout=20)
