"""The command that makes the bank, run as a user runs it."""

import subprocess
import sys

import pytest

from hrm_jax.data.sudoku import bank, puzzle_files


def _make(out, seed):
    sizes = [f"--{split}=6" for split in bank.SPLITS]
    command = [sys.executable, "-m", "experiments.make_bank", f"--seed={seed}"]
    subprocess.run([*command, f"--out={out}", *sizes], check=True, capture_output=True)
    return {split: (out / f"{split}.csv.gz").read_bytes() for split in bank.SPLITS}


@pytest.mark.thorough
def test_equal_seeds_give_equal_bytes(tmp_path):
    first = _make(tmp_path / "new" / "folder", seed=3)
    assert _make(tmp_path / "again", seed=3) == first
    for split in bank.SPLITS:
        puzzles = puzzle_files.read(tmp_path / "again" / f"{split}.csv.gz", check_unique=True)
        assert len(puzzles) == 6
