import json

import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.evaluation import gate
from hrm_jax.evaluation.gate import Measured

SETTINGS = {"model": "m"}
NAMES = [f"task/{number}" for number in range(40)]


def measured(passes: int = 20, factor: float = 1.0, **fields) -> Measured:
    passed = {name: number < passes for number, name in enumerate(NAMES)}
    nats = {name: factor * (0.3 + 0.01 * number) for number, name in enumerate(NAMES)}
    return Measured(**{"settings": SETTINGS, "passed": passed, "nats": nats} | fields)


def worse(before: Measured, now: Measured) -> list[bool]:
    return [change.is_worse for change in gate.changes(before, now)]


def test_nothing_new_is_not_worse():
    before = measured()
    for change in gate.changes(before, before):
        assert change.before == change.now
        assert change.chance == 1.0
        assert not change.is_worse


@pytest.mark.parametrize(("lost", "chance"), [(1, 1 / 2), (6, 1 / 64), (7, 1 / 128)])
def test_problems_that_are_lost_count_by_mcnemars_test(lost, chance):
    change, _ = gate.changes(measured(20), measured(20 - lost))
    assert change.chance == chance
    assert change.is_worse == (chance < 0.01)
    assert (change.before, change.now) == (0.5, (20 - lost) / 40)


def test_problems_that_are_gained_weigh_against_those_that_are_lost():
    # Seven lost, two gained: 1/2^9 of the sum of the binomial coefficients of 9 over 7, 8, 9.
    passed = {name: number < 13 or number in (30, 31) for number, name in enumerate(NAMES)}
    change, _ = gate.changes(measured(20), measured(passed=passed))
    assert change.chance == (36 + 9 + 1) / 2**9
    assert not change.is_worse


def test_gains_are_never_worse():
    assert worse(measured(20), measured(40, 0.5)) == [False, False]


def test_less_likely_solutions_are_worse_beyond_rounding():
    assert worse(measured(), measured(factor=1.01)) == [False, True]
    # All solutions a little less likely is no chance, but no more than other machines round.
    _, change = gate.changes(measured(), measured(factor=1.001))
    assert change.chance < 0.001
    assert not change.is_worse


def test_differences_in_both_directions_are_chance():
    before = measured()
    nats = {
        name: value * (1.05 if number % 2 else 0.96)
        for number, (name, value) in enumerate(before.nats.items())
    }
    _, change = gate.changes(before, measured(nats=nats))
    assert change.now > change.before
    assert not change.is_worse


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"settings": {"model": "other"}}, "settings"),
        ({"passed": {"task/0": True}}, "problems"),
        ({"nats": {"task/0": 1.0}}, "solutions"),
    ],
)
def test_other_measurements_are_not_compared(fields, told):
    with pytest.raises(ConfigError, match=rf"{told}: .*record anew"):
        gate.changes(measured(), measured(**fields))


def test_a_file_keeps_a_measurement(tmp_path):
    path = tmp_path / "gate.json"
    gate.write(path, measured())
    assert gate.read(path) == measured()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 200_000,
        json.dumps({"settings": {}, "passed": {}}),
        json.dumps({"settings": {}, "passed": {"a": 1}, "nats": {}}),
        json.dumps({"settings": {}, "passed": {}, "nats": {"a": None}}),
    ],
)
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "gate.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"gate\.json: expected a recorded measurement"):
        gate.read(path)
