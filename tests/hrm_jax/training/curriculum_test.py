"""Phases: what opens their gates, and that their state is that of the batches."""

import json

import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.training.curriculum import Curriculum, Gate


class Letters:
    """Batches of a phase: its letter with a number."""

    def __init__(self, phase):
        self.letter = "abc"[phase]
        self.next = 0

    def __next__(self):
        self.next += 1
        return f"{self.letter}{self.next}"

    def get_state(self):
        return self.next

    def set_state(self, state):
        self.next = state


SYNTAX = Gate("parse_rate", at_least=0.5, steps=20)


def curriculum(*gates):
    return Curriculum(gates, Letters)


def test_a_gate_opens_to_the_next_phase():
    phases = curriculum(SYNTAX, Gate())
    assert next(phases) == "a1"
    assert phases.judge(10, {"parse_rate": 0.4}) is None
    assert (phases.phase, next(phases)) == (0, "a2")
    assert phases.judge(20, {"parse_rate": 0.5}) is None
    assert (phases.phase, next(phases)) == (1, "b1")


def test_a_shut_gate_ends_the_run_with_a_report():
    phases = curriculum(SYNTAX, Gate())
    reason = phases.judge(20, {"parse_rate": 0.25})
    assert reason.startswith("phase 1 of 2 expected parse_rate at least 0.5 within 20 steps, got 0")
    assert phases.phase == 0


def test_a_shut_gate_may_be_passed_by():
    phases = curriculum(Gate("parse_rate", at_least=0.5, steps=20, otherwise="go_on"), Gate())
    assert phases.judge(20, {"parse_rate": 0.25}) is None
    assert phases.phase == 1


def test_steps_alone_end_a_phase_and_count_from_its_beginning():
    phases = curriculum(Gate(steps=10), Gate(steps=10), Gate())
    for step, phase in ((9, 0), (12, 1), (21, 1), (22, 2), (1000, 2)):
        assert phases.judge(step, {}) is None
        assert phases.phase == phase


def test_the_last_phase_lasts_but_its_gate_counts():
    phases = curriculum(Gate("bits_per_byte", at_most=2, steps=10))
    assert phases.judge(10, {"bits_per_byte": 1.5}) is None
    assert phases.phase == 0
    assert "expected bits_per_byte at most 2" in str(phases.judge(20, {"bits_per_byte": 2.5}))


def test_a_resumed_curriculum_goes_on_as_if_nothing_had_happened():
    whole = curriculum(Gate(steps=10), Gate(steps=10), Gate())
    whole.judge(10, {})
    assert next(whole) == "b1"
    state = json.loads(json.dumps(whole.get_state()))
    resumed = curriculum(Gate(steps=10), Gate(steps=10), Gate())
    resumed.set_state(state)
    assert (resumed.phase, next(resumed), next(whole)) == (1, "b2", "b2")
    for phases in (whole, resumed):
        phases.judge(19, {})
        assert phases.phase == 1
        phases.judge(20, {})
        assert phases.phase == 2
    assert resumed.get_state() == whole.get_state()


def test_a_measure_that_nobody_takes_is_named():
    phases = curriculum(SYNTAX, Gate())
    with pytest.raises(ValueError, match="expected one of bits_per_byte, got 'parse_rate'"):
        phases.judge(10, {"bits_per_byte": 2.0})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"measure": "parse_rate"}, "measure: expected a measure exactly when there is a bound"),
        ({"at_most": 2.0}, "measure: expected a measure exactly when there is a bound"),
        ({"steps": -1}, "steps: expected 0 or more, got -1"),
        ({"otherwise": "wait"}, "otherwise: expected one of .*'stop', 'go_on'.*, got 'wait'"),
    ],
)
def test_an_impossible_gate_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Gate(**fields)


def test_a_gate_that_says_nothing_never_opens():
    """A saved config may lack a field; it was run with the default."""
    assert Gate() == Gate(measure="", at_least=None, at_most=None, steps=0, otherwise="stop")
    phases = curriculum(Gate(), Gate())
    for step in (0, 1, 10**6):
        assert phases.judge(step, {"parse_rate": 1.0}) is None
    assert phases.phase == 0


@pytest.mark.parametrize(("value", "opens"), [(0.9, False), (1, True), (2, True), (2.1, False)])
def test_a_gate_opens_at_its_bounds_and_between(value, opens):
    assert Gate("loss", at_least=1, at_most=2).opens({"loss": value}) == opens


def test_a_gate_says_what_has_to_hold():
    assert Gate("loss", at_least=0.5, at_most=2).describe() == "loss at least 0.5 and at most 2"


def test_the_last_phase_may_have_a_gate_that_opens():
    phases = curriculum(Gate(steps=10), SYNTAX)
    phases.judge(10, {"parse_rate": 0.0})
    assert phases.judge(20, {"parse_rate": 0.9}) is None
    assert phases.judge(29, {"parse_rate": 0.1}) is None
    assert str(phases.judge(30, {"parse_rate": 0.1})).startswith("phase 2 of 2 expected parse_rate")
