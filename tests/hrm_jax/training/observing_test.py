import jax
import pytest

from hrm_jax.training import observing
from hrm_jax.training.run_config import TrainConfig


@pytest.mark.parametrize(("process", "opened"), [(0, [["wandb"]]), (1, [])])
def test_trackers_are_opened_by_process_0_alone(tmp_path, monkeypatch, process, opened):
    asked = []
    monkeypatch.setattr(jax, "process_index", lambda: process)
    monkeypatch.setattr(observing, "open_trackers", lambda names, *_: asked.append(names) or ["it"])
    found = observing.open_own_trackers(["wandb"], tmp_path, TrainConfig())
    assert asked == opened
    assert found == ["it"] * len(opened)
