"""Estimates from text: better than the median where words tell, the same each time, no future."""

import numpy as np
import pytest

from hrm_jax.planning.forecast import estimates, points
from hrm_jax.planning.forecast.estimates import (
    Distributions,
    EstimateConfig,
    TooFewIssuesError,
)
from hrm_jax.planning.forecast.tables import TableError
from tests.hrm_jax.planning.forecast import made

CONFIG = EstimateConfig(trees=10, fits=4)


@pytest.fixture(scope="module")
def past():
    return estimates.estimate_past(*made.issues(), CONFIG)


def test_words_tell_sizes(past):
    error = np.abs(past.point - past.actual).mean()
    assert error < 0.6 * np.abs(np.median(past.actual) - past.actual).mean()
    measured = np.isfinite(past.intervals.low)
    assert measured.sum() == 36  # all but the first of four fits
    assert past.intervals.inside[measured].mean() >= 0.7
    width = (past.intervals.high - past.intervals.low)[measured]
    assert width.mean() < 6


def test_estimates_repeat_and_know_no_future(past):
    issues, sizes = made.issues()
    again = estimates.estimate_past(issues, sizes, CONFIG)
    np.testing.assert_array_equal(past.point, again.point)
    changed = sizes.copy()
    changed[96:] = 100  # the last two of four fits begin there
    other = estimates.estimate_past(issues, changed, CONFIG)
    np.testing.assert_array_equal(past.point[:36], other.point[:36])
    np.testing.assert_array_equal(past.intervals.high[:36], other.intervals.high[:36])
    assert not np.array_equal(past.point[36:], other.point[36:])


def test_a_short_past_is_told():
    issues, sizes = made.issues(39)
    with pytest.raises(TooFewIssuesError, match=r"at least 40 past issues .* got 39; add older"):
        estimates.estimate_past(issues, sizes, CONFIG)


@pytest.mark.parametrize(("fits", "sizes"), [(20, [1] * 16), (16, [1] * 16), (5, [4, 3, 3, 3, 3])])
def test_no_fit_is_for_nothing(fits, sizes):
    found = estimates.blocks(24, 40, EstimateConfig(fits=fits))
    assert [len(rows) for rows in found] == sizes
    assert np.concatenate(found).tolist() == list(range(24, 40))


def test_a_fit_for_each_issue_at_most():
    issues, sizes = made.issues(40)
    past = estimates.estimate_past(issues, sizes, EstimateConfig(trees=2, fits=20))
    assert len(past.point) == len(past.blocks) == 16


def test_issues_without_common_words_are_estimated():
    issues, sizes = made.issues(60)
    blank = type(issues)(issues.keys, [""] * 60, [""] * 60)
    assert np.isfinite(estimates.fit(blank, sizes, CONFIG)(blank).quantile(0.5)).all()


def test_quantiles_and_ranks_fit_together():
    made_of = Distributions(np.array([3.0, 1, 2]), np.array([[0.5, 0.25, 0.25], [0, 1, 0]]))
    np.testing.assert_array_equal(made_of.quantile(0.5), [2, 1])
    np.testing.assert_array_equal(made_of.quantile(1.0), [3, 1])
    np.testing.assert_allclose(made_of.ranks(np.array([2.0, 5.0])), [[0.25, 0.5], [1, 1]])
    np.testing.assert_array_equal(
        made_of.at_ranks(np.array([[0.1, 0.9], [0.4, 0.1], [0.9, 0.5]])), [[1, 1], [2, 1], [3, 1]]
    )


def test_points_are_read_in_order_of_numbers(tmp_path):
    path = tmp_path / "made.csv"
    path.write_text("issuekey,title,description,storypoint\nA-10,b,NULL,5\nA-9,a,text,3\n")
    issues, sizes = points.read_points(path)
    assert issues.keys == ["A-9", "A-10"]
    assert issues.descriptions == ["text", ""]
    np.testing.assert_array_equal(sizes, [3, 5])
    path.write_text("issuekey,title,description,storypoint\nnone,b,NULL,5\n")
    with pytest.raises(TableError, match="line 2: issuekey: expected a key that ends in a number"):
        points.read_points(path)
    assert points.project_files(tmp_path) == {"made": path}
    with pytest.raises(TableError, match="name their folder"):
        points.project_files(tmp_path / "nowhere")


def test_points_are_compared():
    report, past = points.evaluate("made", *made.issues(), CONFIG)
    assert report.issues == 24
    assert report.ours < report.median
    assert report.boosting < report.mean * 1.5
    assert np.isnan(report.published)
    assert report.width < report.usual_width + 3
    assert past.first == 72
