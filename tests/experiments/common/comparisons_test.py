"""Folders of comparisons, and how figures are shown."""

import pytest

from experiments.common.comparisons import OtherCommand, check_command, spread
from experiments.sudoku.presets import PRESETS


def test_a_folder_is_of_one_command(tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):
        check_command(folder, ["--config.seed=0"], PRESETS["minute"])
    for options, preset in ((["--config.seed=1"], "minute"), (["--config.seed=0"], "quick")):
        with pytest.raises(OtherCommand, match=r"run holds a run with other flags.*--folder"):
            check_command(folder, options, PRESETS[preset])


def test_a_spread_is_a_mean_with_its_range():
    assert spread([0.5, 0.75], share=True) == "62.5% (50.0% to 75.0%)"
    assert spread([2.0, 3.0], share=False) == "2.500 (2.000 to 3.000)"
