"""The studio answers before it imports what takes seconds."""

import sys

import pytest

pytest.importorskip("psutil", reason="needs the extra studio")
pytest.importorskip("httpx", reason="needs httpx")

import httpx
import psutil

from experiments.benchmarks.serving import started

COMMAND = [sys.executable, "-m", "experiments.studio", "--port=0", "--no_browser"]
HEAVY = ("jaxlib", "optax", "numba")


def loaded(process):
    """Libraries with compiled code that a process has imported."""
    paths = " ".join(one.path for one in psutil.Process(process.pid).memory_maps())
    return [name for name in HEAVY if f"/{name}/" in paths]


def test_a_page_with_its_curves_is_there_before_jax(tmp_path):
    with (
        started([*COMMAND, f"--runs={tmp_path / 'runs'}"]) as (process, url),
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        assert "/page/main.js" in client.get("/").text
        experiments = client.get("/api/experiments").json()["experiments"]
        assert list(experiments) == ["sudoku", "code", "relations"]
        asked = {"run": "(example)", "curve": "train/loss", "points": 100}
        curve = client.get("/api/curves", params=asked).json()["curves"]["train/loss"]
        assert len(curve["values"]) > 50
        assert client.get("/api/probes", params={"run": "(example)"}).json()["records"]
        assert loaded(process) == []
        # What needs the configurations' classes waits until they are imported.
        form = client.get("/api/form", params={"experiment": "sudoku", "preset": "minute"})
        assert "loop.steps" in {field["path"] for field in form.json()["fields"]}
        assert "jaxlib" in loaded(process)
        config = client.get("/api/config", params={"run": "(example)"}).json()
        assert config["experiment"] == "sudoku"
