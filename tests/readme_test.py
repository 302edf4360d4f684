"""The README's Python runs as it stands."""

import pathlib
import re

import pytest

from hrm_jax.training.run_log import read_metrics

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def the_block_with(text):
    (block,) = [block for block in BLOCKS if text in block]
    return block


def run(block):
    names = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_a_task_of_ones_own_is_ten_lines_and_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = the_block_with("(Task)")
    statements = [x for x in block.splitlines() if x.strip() and "import " not in x]
    assert len(statements) <= 10
    state = run(block)["state"]
    assert int(state.step) == 300
    records = read_metrics(tmp_path / "runs/reversal")
    assert records[-1]["lm_loss"] < 0.75 * records[0]["lm_loss"]


@pytest.mark.parametrize("text", ["model.initial_carry", "hrm_kernels.Mask"])
def test_examples_run(text):
    run(the_block_with(text))
