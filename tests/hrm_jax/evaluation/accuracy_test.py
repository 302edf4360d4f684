import numpy as np
import pytest

from hrm_jax.evaluation.accuracy import PuzzleResults, by_rating, concatenate, interval, summarize

RESULTS = PuzzleResults(
    cell_accuracy=np.array([1.0, 0.5, 0.25, 1.0]),
    exact=np.array([True, False, False, True]),
    valid=np.array([True, False, True, True]),
    steps=np.array([1, 2, 4, 5]),
    rating=np.array([0, 3, 5, 30]),
)
BANDS = [(0, 0), (1, 2), (3, 5), (6, None)]


def test_a_summary_is_the_mean_over_puzzles():
    assert summarize(RESULTS) == {
        "count": 4,
        "cell_accuracy": 0.6875,
        "exact_accuracy": 0.5,
        "valid_share": 0.75,
        "mean_steps": 3.0,
    }


def test_a_summary_of_no_puzzles_is_zero():
    nothing = RESULTS.take(np.zeros(4, bool))
    assert summarize(nothing) == dict.fromkeys(summarize(RESULTS), 0)


def test_each_band_with_puzzles_has_its_own_summary():
    names = ("count", "cell_accuracy", "exact_accuracy", "valid_share", "mean_steps")
    rows = {"0": (1, 1.0, 1.0, 1.0, 1.0), "3-5": (2, 0.375, 0.0, 0.5, 3.0), "6+": (1, 1, 1, 1, 5)}
    expected = {band: dict(zip(names, row, strict=True)) for band, row in rows.items()}
    assert by_rating(RESULTS, BANDS) == expected


@pytest.mark.parametrize("cut", [0, 1, 4])
def test_joined_parts_are_the_whole(cut):
    first = np.arange(4) < cut
    joined = concatenate([RESULTS.take(first), RESULTS.take(~first)])
    assert len(joined) == 4
    for name in ("cell_accuracy", "exact", "valid", "steps", "rating"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(RESULTS, name))


def test_an_interval_is_wilsons():
    assert interval(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert interval(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert interval(0.0, 0) == (0.0, 1.0)
