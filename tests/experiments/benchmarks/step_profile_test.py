"""The profile: which events count, and that a real step gives some."""

import pytest
from rich.console import Console

from experiments.benchmarks import step_profile


def event(name, dur, ph="X"):
    return {"name": name, "dur": dur, "ph": ph}


def test_only_operations_count_and_loops_do_not():
    events = [
        event("dot.1", 1000),
        event("dot.22", 500),
        event("add_fusion", 2500),
        event("while.3", 9000),
        event("block_until_ready", 9000),
        event("dot.1", 9000, ph="M"),
        {"ph": "M"},
    ]
    rows = step_profile.by_kind(events, {"dot.1", "dot.22", "add_fusion", "while.3"})
    assert rows == [
        {"operation": "add_fusion", "milliseconds": 2.5, "count": 1},
        {"operation": "dot", "milliseconds": 1.5, "count": 2},
    ]


@pytest.mark.thorough
def test_a_step_is_profiled():
    result = step_profile.run("hrm_tiny", 2, Console(quiet=True))
    assert sum(row["milliseconds"] for row in result["rows"]) > 0
    assert any("fusion" in row["operation"] for row in result["rows"])
