import math

import pytest

from experiments.common.curves import Panel, minutes_a_step, save_comparison, save_curves

PNG = b"\x89PNG\r\n\x1a\n"
TRAIN = {"split": "train", "loss": 2.0, "cell_accuracy": 0.1, "exact_accuracy": 0.0}
PANELS = (Panel("loss", ("loss",)), Panel("shares", ("cell_accuracy", "exact_*"), shares=True))
VALIDATION = {"split": "validation", "cell_accuracy": 0.2, "exact_accuracy": 0.1}


@pytest.mark.parametrize(
    "records",
    [
        [{**TRAIN, "step": 1}, {**TRAIN, "step": 2}, {**VALIDATION, "step": 2}],
        [{**TRAIN, "step": 1}],
        [{"split": "train", "loss": 2.0, "step": 1}],
        [{**TRAIN, "step": 1, "loss": float("nan")}],
        [],
    ],
    ids=["both splits", "no evaluation", "nothing halted", "not finite", "nothing logged"],
)
def test_any_log_gives_a_picture(records, tmp_path):
    save_curves(records, tmp_path / "curves.png", PANELS)
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)


def test_the_picture_shows_the_log(tmp_path):
    for number, loss in enumerate((1.0, 2.0)):
        records = [{**TRAIN, "step": 1}, {**TRAIN, "step": 2, "loss": loss}]
        save_curves(records, tmp_path / f"{number}.png", PANELS)
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_a_panel_shows_the_measures_that_it_names():
    assert PANELS[0].measures(TRAIN) == ["loss"]
    assert PANELS[1].measures(TRAIN) == ["cell_accuracy", "exact_accuracy"]


def timed(seconds, shares):
    """A run's records: one of training each 10 steps, and a validation after each but the first."""
    train = [
        {"split": "train", "step": 10 * (i + 1), "time_seconds": time}
        for i, time in enumerate(seconds)
    ]
    found = [
        {"split": "validation", "step": 10 * (i + 2), "time_seconds": 0.0, "exact_accuracy": share}
        for i, share in enumerate(shares)
    ]
    return train + found


def test_a_pause_does_not_count_as_training():
    assert minutes_a_step(timed([0, 60, 120, 9999, 10059], [])) == pytest.approx(0.1)


def test_one_record_says_nothing_of_the_pace():
    assert math.isnan(minutes_a_step(timed([5], [])))


def test_runs_beside_each_other_are_drawn_by_their_time(tmp_path):
    slow = timed([0, 60, 120], [0.2, 0.4])
    fast = timed([0, 30, 60], [0.2, 0.4])
    for name, runs in (("a", [slow, slow]), ("b", [slow, fast]), ("c", [timed([0], [0.1])])):
        save_comparison({"one": runs, "two": [fast]}, tmp_path / f"{name}.png", "exact_accuracy")
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert all(picture.startswith(PNG) for picture in pictures)
    assert len(set(pictures)) == 3
