"""A studio as its users start it, and runs that it shows."""

import contextlib
import json
import signal
import subprocess

from tests import commands

HOSTILE = "<img src=x onerror=alert(1)>"


@contextlib.contextmanager
def studio(runs, *flags):
    """The url of a studio that ends with the block."""
    command = ("experiments.studio", "--port=0", "--no_browser", f"--runs={runs}", *flags)
    with commands.start(*command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            assert process.wait(timeout=20) in (0, -signal.SIGTERM)


def write(runs, name, records):
    folder = runs / name
    folder.mkdir(parents=True)
    config = {"loop": {"steps": 100}, "description": HOSTILE, "seed": len(name)}
    (folder / "config.json").write_text(json.dumps(config))
    append(runs, name, records)


def append(runs, name, records, seconds=1e9):
    """Goes on with a run's log; `seconds` is when."""
    lines = [
        {"step": s, "time_seconds": seconds + s, "split": "train", "loss": x, HOSTILE: 1}
        for s, x in records
    ]
    with open(runs / name / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
