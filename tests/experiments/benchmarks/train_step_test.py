"""The training-step suite, with stand-ins for the contestants and with PyTorch itself."""

import io
import json
import sys
import textwrap

import pytest
from rich.console import Console

from experiments.benchmarks import alternate, machine, train_step

STAND_IN = """
    import time

    def build(shape, batch_size, milliseconds):
        assert shape["hidden_size"] == 32 and batch_size in (2, 3)
        return lambda steps: time.sleep(steps * milliseconds / 1e3)
"""


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=140)


@pytest.fixture(autouse=True)
def known_machine(monkeypatch):
    host = machine.Machine("a processor", 2, 2**33, {"numpy": 1e10})
    monkeypatch.setattr(machine, "describe", lambda pythons: host)


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(STAND_IN))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    contestants = {
        "torch_compile": ("torch", {"milliseconds": 40}),
        "hrm_jax": ("jax", {"milliseconds": 20}),
    }
    for name, (library, arguments) in contestants.items():
        implementation = train_step.Implementation("stand_in:build", library, arguments)
        monkeypatch.setitem(train_step.CONTESTANTS, name, implementation)
    # Whether PyTorch is here must not decide what these tests see.
    monkeypatch.setattr(alternate, "importable", lambda library, python: True)


def options(*contestants, **changes) -> train_step.Options:
    return train_step.Options(
        contestants=contestants,
        **({"batch_sizes": [2], "shape": "hrm_tiny", "rounds": 2} | changes),
    )


def test_results_are_json_with_one_row_a_contestant(stand_ins, console):
    chosen = options("torch_compile", "hrm_jax+heap", batch_sizes=[2, 3])
    results = json.loads(json.dumps(train_step.run(chosen, console)))
    assert [result["batch_size"] for result in results["results"]] == [2, 3]
    for result in results["results"]:
        reference, ours = result["contestants"]
        assert [reference["name"], ours["name"]] == ["torch_compile", "hrm_jax+heap"]
        assert reference["speed_ratio"] == {"median": 1, "low": 1, "high": 1}
        assert 1.5 < ours["speed_ratio"]["median"] < 2.5
        seconds = ours["step_seconds"]["median"]
        assert ours["puzzles_per_second"] == pytest.approx(result["batch_size"] / seconds)
        assert ours["flops_per_second"] == pytest.approx(ours["flops_per_step"] / seconds)
        assert ours["fraction_of_peak"] == pytest.approx(ours["flops_per_second"] / 1e10)
        assert len(ours["samples"]) == 2
    assert "hrm_jax+heap" in console.file.getvalue()


def test_without_torch_ours_runs_alone_and_says_how_to_install(stand_ins, console, monkeypatch):
    monkeypatch.setattr(alternate, "importable", lambda library, python: library != "torch")
    (result,) = train_step.run(options("torch_compile", "hrm_jax"), console)["results"]
    (row,) = result["contestants"]
    assert row["name"] == row["reference"] == "hrm_jax"
    printed = console.file.getvalue()
    assert "left out: torch_compile" in printed
    assert "pip install -e '.[oracle]'" in printed
    with pytest.raises(ValueError, match="none can run"):
        train_step.run(options("torch_compile"), console)


def test_an_unknown_contestant_is_refused(console):
    with pytest.raises(ValueError, match=r"expected torch_eager, .* got 'torch_fast'"):
        train_step.run(options("torch_fast"), console)


@pytest.mark.oracle
def test_pytorch_takes_part(console):
    pytest.importorskip("torch")
    chosen = options("torch_eager", "torch_eager+heap", torch_python=sys.executable)
    (result,) = train_step.run(chosen, console)["results"]
    assert all(row["step_seconds"]["median"] > 0 for row in result["contestants"])
