"""The studio under load: live runs, open pages, a log of a million records, many runs.

Runs are synthetic: a process without JAX writes records as a run does. Pages are clients that do
what `hrm_jax/studio/page/store.js` and `curves.js` do, so what a browser takes is not counted.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
from rich.console import Console

from experiments.benchmarks.serving import started
from experiments.common.terminal import Table

_WRITER = """
import json, sys, time
step = 0
with open(sys.argv[1], "a") as file:
    while True:
        step += 1
        now = time.time()
        record = {"step": step, "time_seconds": now, "split": "train", "loss": 1 / step,
                  "lm_loss": 2 / step, "cell_accuracy": 0.5, "exact_accuracy": 0.1, "steps": 4.0}
        file.write(json.dumps(record) + "\\n")
        file.flush()
        time.sleep(0.5)
"""
# In which every page has read what there was; delays are those of new points alone.
_SETTLE_SECONDS = 3.0
_POINTS = 1200


@dataclasses.dataclass(frozen=True)
class Options:
    """How much load.

    Attributes:
      live: runs that are being written, two records a second each.
      pages: numbers of open pages, one measurement each.
      records: of the long log.
      resting: runs that are there besides.
      seconds: of each measurement.
    """

    live: int = 10
    pages: tuple[int, ...] = (1, 20)
    records: int = 1_000_000
    resting: int = 200
    seconds: float = 20.0


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures, prints the tables, and returns the figures."""
    with tempfile.TemporaryDirectory() as folder:
        runs = pathlib.Path(folder)
        _write_resting(runs, options.resting)
        _write_long(runs, options.records)
        command = [sys.executable, "-m", "experiments.studio", "--port=0", "--no_browser"]
        with started([*command, f"--runs={runs}"]) as (process, url), _writers(runs, options.live):
            studio = psutil.Process(process.pid)
            asyncio.run(_load(url))
            found: dict[str, Any] = {
                "pages": [asyncio.run(_watched(url, studio, n, options)) for n in options.pages],
                "long": asyncio.run(_long(url)),
                "resident_bytes": studio.memory_info().rss,
            }
    _show(found, options, console)
    return found


async def _load(url: str) -> None:
    """Waits until the studio has imported what a form needs, which takes seconds, and only once."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await client.get("/")
        (await client.get("/api/presets")).raise_for_status()


async def _watched(
    url: str, studio: psutil.Process, pages: int, options: Options
) -> dict[str, Any]:
    """Returns processor time and delays while so many pages watch all live runs."""
    async with contextlib.AsyncExitStack() as stack:
        delays: list[float] = []
        # Pages end with the measurement, whatever happens in it.
        tasks = [asyncio.create_task(_page(url, options.live, delays)) for _ in range(pages)]
        stack.callback(lambda: [task.cancel() for task in tasks])
        await asyncio.sleep(_SETTLE_SECONDS)
        delays.clear()
        before = studio.cpu_times()
        await asyncio.sleep(options.seconds)
        after = studio.cpu_times()
    await asyncio.gather(*tasks, return_exceptions=True)
    spent = after.user + after.system - before.user - before.system
    ordered = sorted(delays) or [float("nan")]
    return {
        "pages": pages,
        "share_of_a_core": spent / options.seconds,
        "share_for_each_live_run": spent / options.seconds / options.live,
        "median_delay_seconds": ordered[len(ordered) // 2],
        "longest_delay_seconds": ordered[-1],
    }


async def _page(url: str, live: int, delays: list[float]) -> None:
    """Watches all live runs as the page does, and notes how old the newest point is."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        # The page sets the cookie that everything below /api/ asks for.
        await client.get("/")
        counts: dict[str, dict[str, int]] = {f"live-{n}": {} for n in range(live)}
        async with client.stream("GET", "/api/events") as events:
            async for line in events.aiter_lines():
                name, _, data = line.partition(": ")
                # An event names the runs that have something new; the page asks for that.
                told = json.loads(data).get("runs", {}) if name == "data" else {}
                await asyncio.gather(
                    *(_grow(client, run, counts[run], delays) for run in told if run in counts)
                )


async def _grow(
    client: httpx.AsyncClient, run: str, counts: dict[str, int], delays: list[float]
) -> None:
    # What is known is told with the number of its points, so that only new ones come.
    asked = [f"{name}:{count}" for name, count in counts.items()]
    query = {"run": run, "points": _POINTS, "curve": asked}
    found = (await client.get("/api/curves", params=query)).json()
    counts.update({name: 0 for name in found["names"] if name not in counts})
    for name, curve in found["curves"].items():
        counts[name] = curve["count"]
    newest = [curve["times"][-1] for curve in found["curves"].values() if curve["times"]]
    if newest:
        delays.append(time.time() - max(newest))


async def _long(url: str) -> dict[str, Any]:
    """Returns how long the curves of the long log take to be there, and to be zoomed into."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await client.get("/")
        query: dict[str, Any] = {"run": "long", "points": _POINTS, "curve": "train/loss"}

        async def ask(**more: float) -> tuple[dict[str, Any], float]:
            begun = time.perf_counter()
            found = (await client.get("/api/curves", params={**query, **more})).json()
            return found, time.perf_counter() - begun

        begun = time.perf_counter()
        found, first = await ask()
        # A long log is read in parts: each answer has what was read so far.
        while found["share"] < 1:
            found, _ = await ask()
        whole = time.perf_counter() - begun
        curve = found["curves"]["train/loss"]
        # From here on all is in memory.
        _, again = await ask()
        _, zoomed = await ask(first=1000.0, last=200_000.0)
        return {
            "records": curve["count"],
            "points": len(curve["values"]),
            "peak_is_seen": max(curve["values"]) == 100.0,
            "first_answer_seconds": first,
            "all_read_seconds": whole,
            "again_seconds": again,
            "zoomed_seconds": zoomed,
        }


@contextlib.contextmanager
def _writers(runs: pathlib.Path, count: int) -> Iterator[None]:
    processes = []
    try:
        for number in range(count):
            folder = _folder(runs, f"live-{number}")
            command = [sys.executable, "-c", _WRITER, str(folder / "metrics.jsonl")]
            processes.append(subprocess.Popen(command))
            state = {
                "pid": processes[-1].pid,
                # Behind the process's own start: the studio takes a process that began later for
                # another one.
                "started_seconds": time.time() + 1,
                "state": "running",
            }
            (folder / "process.json").write_text(json.dumps(state))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _folder(runs: pathlib.Path, name: str) -> pathlib.Path:
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"loop": {"steps": 1000000}}')
    return folder


def _write_resting(runs: pathlib.Path, count: int) -> None:
    for number in range(count):
        lines = [_line(step, 1 / step) for step in range(1, 200)]
        (_folder(runs, f"resting-{number}") / "metrics.jsonl").write_text("".join(lines))


def _write_long(runs: pathlib.Path, records: int) -> None:
    with open(_folder(runs, "long") / "metrics.jsonl", "w", encoding="utf-8") as file:
        for step in range(1, records + 1):
            # One peak, which no thinning may lose.
            file.write(_line(step, 100.0 if step == records // 3 else 1 / step))


def _line(step: int, loss: float) -> str:
    record = {"step": step, "time_seconds": 1e9 + step, "split": "train", "loss": loss}
    return json.dumps(record) + "\n"


def _show(found: dict[str, Any], options: Options, console: Console) -> None:
    table = Table(title=f"{options.live} live runs, {options.resting} at rest")
    for title in ("pages", "of a core", "for each live run", "delay, median", "longest"):
        table.add_column(title, justify="right")
    for row in found["pages"]:
        shares = f"{row['share_of_a_core']:.1%}", f"{row['share_for_each_live_run']:.2%}"
        delays = f"{row['median_delay_seconds']:.2f} s", f"{row['longest_delay_seconds']:.2f} s"
        table.add_row(str(row["pages"]), *shares, *delays)
    console.print(table)
    long = found["long"]
    console.print(
        f"{long['records']:,} records: a first curve in {long['first_answer_seconds']:.2f} s, all "
        f"of them in {long['all_read_seconds']:.1f} s, as {long['points']} points with the peak "
        f"{'kept' if long['peak_is_seen'] else 'LOST'}; asked again {long['again_seconds']:.3f} s, "
        f"a zoom {long['zoomed_seconds']:.3f} s; {found['resident_bytes'] / 2**20:.0f} MiB resident"
    )
