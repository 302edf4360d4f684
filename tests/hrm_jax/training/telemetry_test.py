import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hrm_jax.optim.adam_atan2 import adam_atan2
from hrm_jax.training import telemetry
from hrm_jax.training.run_files import TELEMETRY
from hrm_jax.training.side_records import SideRecords, read_records
from hrm_jax.training.telemetry import Telemetry, observed, resident_bytes

B1 = 0.9


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    params: jax.Array
    opt_state: optax.OptState


OPTIMIZER = optax.chain(adam_atan2(1e-2, B1, 0.95, 0.1), optax.identity())


@jax.jit
def step(state, gradient):
    updates, opt_state = OPTIMIZER.update(gradient, state.opt_state, state.params)
    return State(optax.apply_updates(state.params, updates), opt_state), gradient.sum()


def run(steps, **settings):
    """Gradients, and what each of the steps reports."""
    taken = observed(lambda _, state, batch: step(state, batch), B1, **settings)
    params = jnp.ones(5)
    state = State(params, OPTIMIZER.init(params))
    gradients = [np.random.default_rng(number).normal(size=5) for number in range(steps)]
    reports = []
    for gradient in gradients:
        state, report = taken(None, state, jnp.asarray(gradient, jnp.float32))
        reports.append(report)
    return gradients, reports


def test_the_norm_is_that_of_the_gradient_where_a_record_ends():
    gradients, reports = run(6, log_every=3, first_step=1)
    # The steps are 2 to 7.
    assert [report.gradient_norm is not None for report in reports] == [False, True, False] * 2
    for index in (1, 4):
        expected = np.linalg.norm(gradients[index])
        assert float(reports[index].gradient_norm) == pytest.approx(expected, rel=1e-5)


def test_metrics_pass_through():
    gradients, reports = run(2, log_every=2, first_step=0)
    for gradient, report in zip(gradients, reports, strict=True):
        assert float(report.metrics) == pytest.approx(gradient.sum(), rel=1e-5)


def test_records(tmp_path):
    _, reports = run(4, log_every=2, first_step=0)
    with SideRecords(tmp_path, TELEMETRY, resume_step=-1) as records:
        telemetry = Telemetry(records, lambda count: jnp.float32(count))
        assert [telemetry(number + 1, r) is r.metrics for number, r in enumerate(reports)] == [
            True
        ] * 4
    first, second = read_records(tmp_path / TELEMETRY)
    assert (first["step"], first["learning_rate"]) == (2, 1.0)
    assert (second["step"], second["learning_rate"]) == (4, 3.0)
    assert second["gradient_norm"] == pytest.approx(float(reports[3].gradient_norm))
    assert 0 < second["memory_bytes"] < 1 << 40
    assert second["steps_per_second"] > 0
    assert second["time_seconds"] >= first["time_seconds"]


def test_a_norm_that_is_no_number_is_left_out(tmp_path):
    _, (first, report) = run(2, log_every=2, first_step=0)
    broken = dataclasses.replace(report, gradient_norm=jnp.float32(jnp.nan))
    with SideRecords(tmp_path, TELEMETRY, resume_step=-1) as records:
        telemetry = Telemetry(records, lambda count: 0.1)
        telemetry(1, first)
        telemetry(2, broken)
    (record,) = read_records(tmp_path / TELEMETRY)
    assert "gradient_norm" not in record


def test_the_first_step_of_a_process_has_a_record_without_speed(tmp_path):
    _, (report,) = run(1, log_every=2, first_step=3)
    with SideRecords(tmp_path, TELEMETRY, resume_step=-1) as records:
        Telemetry(records, lambda count: 0.1)(4, report)
    (record,) = read_records(tmp_path / TELEMETRY)
    assert record["step"] == 4
    assert "steps_per_second" not in record


def test_resident_memory_grows_with_what_is_held():
    before = resident_bytes()
    held = np.ones(8 << 20)
    assert resident_bytes() - before > 32 << 20
    assert held.nbytes == 64 << 20


@pytest.mark.parametrize(("platform", "peak"), [("darwin", 7), ("freebsd", 7 << 10)])
def test_where_the_resident_memory_is_not_told_its_peak_is(monkeypatch, platform, peak):
    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(telemetry, "open", absent, raising=False)
    monkeypatch.setattr(
        telemetry.resource, "getrusage", lambda _: types.SimpleNamespace(ru_maxrss=7)
    )
    monkeypatch.setattr(telemetry.sys, "platform", platform)
    assert resident_bytes() == peak
