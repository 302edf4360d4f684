import io

import pytest
from rich.console import Console

pytest.importorskip("tokenizers", reason="needs the extra codegen")

from experiments.benchmarks import thoughts
from hrm_jax.core.config import replace

SMALL = {
    "model.hidden_size": 16,
    "model.num_heads": 1,
    "model.head_size": 16,
    "model.mlp_width": 16,
    "data.row_tokens": 32,
    "batch_tokens": 64,
}


def test_what_thoughts_cost_is_a_share_of_the_steps_between_evaluations(monkeypatch):
    config = replace(thoughts.PRESETS["minute"], SMALL)
    monkeypatch.setitem(thoughts.PRESETS, "small", config)
    output = io.StringIO()
    found = thoughts.run("small", 2, Console(file=output, width=200))
    seconds = found["seconds"]
    assert {name: len(times) for name, times in seconds.items()} == {"step": 2, "thoughts": 2}
    assert min(seconds["step"] + seconds["thoughts"]) > 0
    steps = config.loop.evaluate_every
    # The median of two is their mean.
    expected = sum(seconds["thoughts"]) / sum(seconds["step"]) / steps
    assert found["share"] == pytest.approx(expected)
    assert "code small: " in output.getvalue()
    assert f"of which there are {steps} between" in output.getvalue()
