"""Sprints: reading, features of the past alone, and forecasts that no future changes."""

import dataclasses

import numpy as np
import pytest

from hrm_jax.planning.forecast import sprint_features, sprints, velocity
from hrm_jax.planning.forecast.tables import TableError
from tests.hrm_jax.planning.forecast import made

CONFIG = velocity.VelocityConfig(trees=10, refit_every=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sprints")
    made.write_sprints(path)
    return path


@pytest.fixture(scope="module")
def snapshots(folder):
    return sprints.read_project(folder, "made")


def test_planned_and_delivered_are_read(tmp_path):
    planned, delivered = made.write_sprints(tmp_path, count=40)
    found = sprints.read_project(tmp_path, "made")
    assert sprints.projects(tmp_path) == ["made"]
    for snapshot in found:
        np.testing.assert_array_equal(snapshot.planned, planned)
        np.testing.assert_array_equal(snapshot.delivered, delivered)
    np.testing.assert_array_equal(found[3].done, delivered * 80 // 100)


def test_rows_alike_on_several_boards_are_one(tmp_path):
    made.write_sprints(tmp_path, count=40)
    for moment in sprints.MOMENTS:
        path = tmp_path / f"made_iteration_{moment}.csv"
        lines = path.read_text().splitlines()
        copy = lines[20].replace(lines[20].split(",")[0], "99", 1)
        other = copy.replace(",14,", ",15,", 1).replace("99", "98", 1)
        path.write_text("\n".join([*lines, copy, other]) + "\n")
    assert len(sprints.read_project(tmp_path, "made", keep_copies=True)[0].order) == 42
    assert len(sprints.read_project(tmp_path, "made")[0].order) == 41


def test_other_sprints_at_another_moment_are_told(tmp_path):
    made.write_sprints(tmp_path, count=40)
    path = tmp_path / "made_iteration_50.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(TableError, match="the same sprints of made at 50 % as at 0 %"):
        sprints.read_project(tmp_path, "made")
    with pytest.raises(TableError, match="expected files <project>_iteration_0"):
        sprints.projects(tmp_path / "nowhere")


def test_history_is_of_earlier_sprints_alone(snapshots):
    now = snapshots[3]
    row = 100
    changed = now.delivered.copy()
    changed[now.order >= now.order[row]] = 1e6
    other = dataclasses.replace(now, delivered=changed)
    before, after = sprint_features.history(now), sprint_features.history(other)
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert not np.array_equal(before[row + 1 :], after[row + 1 :])
    # The last ratio of the board, by hand: boards take turns, and every tenth plans nothing.
    earlier = [i for i in range(row) if now.boards[i] == now.boards[row] and now.planned[i]]
    assert before[row - 1, 7] == row - 1
    ratio = now.delivered[earlier[-1]] / now.planned[earlier[-1]]
    assert sprint_features.history(now)[row, 0] == ratio


def test_the_future_changes_no_forecast(snapshots):
    known = velocity.cases(snapshots)
    first, cut = 50, 100
    whole = velocity.forecast_in_order(known, first, CONFIG)
    delivered = known.delivered.copy()
    delivered[cut:] = np.random.default_rng(1).permutation(delivered[cut:]) + 50
    features = known.features.copy()
    features[cut + 1 :] = 7.0
    other = dataclasses.replace(known, delivered=delivered, features=features)
    changed = velocity.forecast_in_order(other, first, CONFIG)
    shorter = velocity.forecast_in_order(_start(known, cut), first, CONFIG)
    for found in (changed, shorter):
        for before, after in (
            (whole.point, found.point),
            (whole.intervals.low, found.intervals.low),
            (whole.intervals.high, found.intervals.high),
            (whole.usual_high, found.usual_high),
        ):
            np.testing.assert_array_equal(before[: cut - first], after[: cut - first])
    assert not np.array_equal(whole.point, changed.point)


def _start(known, count):
    fields = dataclasses.fields(known)
    return velocity.Cases(*(getattr(known, field.name)[:count] for field in fields))


def test_a_gap_leaves_out_what_just_ended(snapshots):
    known = velocity.cases(snapshots)
    config = dataclasses.replace(CONFIG, gap=20)
    whole = velocity.forecast_in_order(known, 60, config)
    delivered = known.delivered.copy()
    delivered[90:] += 30
    changed = velocity.forecast_in_order(
        dataclasses.replace(known, delivered=delivered), 60, config
    )
    sure = int(np.searchsorted(known.rank, known.rank[90] + 20))
    np.testing.assert_array_equal(
        whole.intervals.high[: sure - 60], changed.intervals.high[: sure - 60]
    )


def test_sprints_that_tell_their_end_are_forecast(snapshots):
    early = velocity.evaluate(snapshots[:1], CONFIG)
    late = velocity.evaluate(snapshots, CONFIG)
    assert late.moment == 80
    assert (late.sprints, late.unplanned, late.unplanned_idle) == (72, 16, 16)
    assert late.near > max(early.near, late.near_planned, late.near_last_ratio) + 0.1
    assert late.width < early.width < early.usual_width * 1.5
    assert 0.75 <= early.coverage <= 0.95
    assert late == velocity.evaluate(snapshots, CONFIG)
