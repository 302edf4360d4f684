import json

import pytest

from hrm_jax.core.config import configclass, field
from hrm_jax.studio.folders import Runs
from hrm_jax.studio.forms import Experiment, load_all


@configclass
class Loop:
    steps: int = field(10, help="steps of the run", at_least=1)


@configclass
class Config:
    description: str = field("", help="what it is for")
    loop: Loop = Loop()
    rate: float = field(0.5, help="how fast", at_least=0, at_most=1)
    is_odd: bool = False


PRESETS = {"plain": Config("a plain one"), "fast": Config("a fast one", rate=1.0)}


@pytest.fixture
def experiments():
    found = {"fake": Experiment("fake", "tests.hrm_jax.studio.fake_run", lambda: PRESETS)}
    load_all(found)
    return found


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "runs")


@pytest.fixture
def write_run(runs):
    """A function that writes a run's folder: records of its log, and other files by name."""

    def write(name, records=(), **files):
        folder = runs.root / name
        folder.mkdir(parents=True)
        config = {"description": "d", "loop": {"steps": 10}, "rate": 0.5, "is_odd": False}
        (folder / "config.json").write_text(json.dumps(config))
        lines = [
            json.dumps({"time_seconds": 1e9 + r["step"], "split": "train", **r}) for r in records
        ]
        (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
        for file, content in files.items():
            (folder / f"{file}.json").write_text(json.dumps(content))
        return folder

    return write
