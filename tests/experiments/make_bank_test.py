"""The command that makes the bank, run as a user runs it."""

import pytest

from hrm_jax.data.sudoku import bank, puzzle_files
from tests import commands


def _make(out, seed):
    sizes = [f"--{split}=6" for split in bank.SPLITS]
    done = commands.run("experiments.make_bank", f"--seed={seed}", f"--out={out}", *sizes)
    assert done.returncode == 0, done.stderr
    return {split: (out / f"{split}.csv.gz").read_bytes() for split in bank.SPLITS}


@pytest.mark.thorough
def test_equal_seeds_give_equal_bytes(tmp_path):
    first = _make(tmp_path / "new" / "folder", seed=3)
    assert _make(tmp_path / "again", seed=3) == first
    for split in bank.SPLITS:
        puzzles = puzzle_files.read(tmp_path / "again" / f"{split}.csv.gz", check_unique=True)
        assert len(puzzles) == 6
