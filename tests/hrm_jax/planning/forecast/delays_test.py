"""Delays: reading, what is learned from, and measures."""

import numpy as np
import pytest

from hrm_jax.planning.forecast import delays
from hrm_jax.planning.forecast.tables import TableError

HEADING = ("issuekey", "delaydays", "openeddate", "type", "priority")


def _write(folder, count=400, seed=0):
    """Writes issues that are late where there is much work; the first is the last in the file."""
    rng = np.random.default_rng(seed)
    names = (*HEADING, *delays.STRICT, *delays.RECORDED_ONCE)
    rows = []
    for i in range(count):
        work, remaining = int(rng.integers(0, 10)), 1 if i % 10 == 0 else 20
        late = int(work > 6) * int(rng.integers(1, 30))
        day = np.datetime64("2010-01-01") + np.timedelta64(i, "D")
        values = {"workload": work, "RemainingDay": remaining, "reporterrep": late}
        numbers = [str(values.get(name, 0)) for name in names[5:]]
        rows.append(",".join([f"A-{i}", str(late), f'"{day} 00:00:00"', "Bug", "Major", *numbers]))
    text = "\n".join([",".join(names), *rows[::-1]]) + "\n"
    for moment in ("due", "creation"):
        (folder / f"made_{moment}.csv").write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("delays")
    _write(path)
    return path


def test_issues_are_read_in_time_order(folder):
    assert delays.projects(folder) == ["made"]
    found = delays.read_delays(folder, "made", "due")
    assert len(found) == 400
    assert (np.diff(found.moment) == 1).all()
    assert set(found.due - found.moment) == {1, 20}
    assert len(delays.read_delays(folder, "made", "due", foreseeable=True)) == 360
    every = delays.read_delays(folder, "made", "creation", strict=False)
    assert every.features.shape[1] == found.features.shape[1] + len(delays.RECORDED_ONCE)


def test_late_issues_are_found_and_repeat(folder):
    issues = delays.read_delays(folder, "made", "due")
    report = delays.evaluate(issues)
    # Issues made within 20 days before the first forecast were not due by then.
    assert 290 < report.learned < 305
    assert report.issues == 80
    assert report.boosting > 0.95
    assert report.always < 0.7
    assert report.majority == 0
    assert report.coverage >= 0.75
    assert report == delays.evaluate(issues)


def test_outcomes_that_were_not_known_are_not_learned_from(folder):
    issues = delays.read_delays(folder, "made", "due")
    late = issues.late.copy()
    late[301:320] = 5  # not due before the first forecast
    late[issues.due < issues.moment[320]] = issues.late[issues.due < issues.moment[320]]
    changed = delays.Delays(issues.features, issues.moment, issues.due, late)
    assert delays.evaluate(issues).boosting == delays.evaluate(changed).boosting


def test_how_late_open_issues_will_be_is_not_known(folder):
    issues = delays.read_delays(folder, "made", "due")
    start = 320
    was_open = (issues.due < issues.moment[start]) & (issues.ended >= issues.moment[start])
    assert 0 < was_open[:start].sum() < 30
    late = issues.late.copy()
    # Whether they are late is known; that they will be so much later is not.
    late[:start][was_open[:start]] += 500
    changed = delays.Delays(issues.features, issues.moment, issues.due, late)
    assert delays.evaluate(issues) == delays.evaluate(changed)


def test_bad_dates_and_folders_are_told(folder, tmp_path):
    path = tmp_path / "made_due.csv"
    path.write_text((folder / "made_due.csv").read_text().replace("2010-01-02", "2.1.2010"))
    with pytest.raises(TableError, match="line 400: openeddate: expected a date such as"):
        delays.read_delays(tmp_path, "made", "due")
    with pytest.raises(TableError, match="name their folder"):
        delays.projects(tmp_path / "nowhere")
