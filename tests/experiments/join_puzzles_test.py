"""The command that joins collections, run as a user runs it."""

import numpy as np

from hrm_jax.data.sudoku import bank, canonical, csv_format, generator, puzzle_files
from tests import commands


def _join(*flags):
    return commands.run("experiments.join_puzzles", *flags)


def test_no_class_of_the_joined_file_is_held_out(tmp_path):
    # Seed 0 would give grids of the bank, which was made with it.
    puzzles = generator.generate(np.random.default_rng(20), 30)
    for name, part in (("mine", puzzles), ("kept", puzzles.take(slice(0, 5)))):
        csv_format.write(tmp_path / f"{name}.csv", part, [name] * len(part))
    out = tmp_path / "joined.csv.gz"
    held_out = f"--held_out=bank,{tmp_path / 'kept.csv'}"
    done = _join(f"--puzzles=bank,{tmp_path / 'mine.csv'}", held_out, f"--out={out}")
    assert done.returncode == 0, done.stderr
    joined = puzzle_files.read(out)
    assert f"{len(joined)} puzzles; left out: " in done.stdout
    found = set(canonical.grid_classes(joined.answers[-25:]))
    kept = [puzzle_files.read(str(bank.shipped_file(split))).answers for split in ("test",)]
    for answers in (puzzles.answers[:5], *kept):
        assert not found & set(canonical.grid_classes(answers[:300]))
    assert found == set(canonical.grid_classes(puzzles.answers[5:]))


def test_a_missing_file_is_named(tmp_path):
    done = _join("--puzzles=nowhere.csv", f"--out={tmp_path / 'x.csv'}")
    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr
