import pytest

from experiments.curves import Panel, save_curves

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
