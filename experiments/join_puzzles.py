"""Joins collections of puzzles into one training file without held-out grids."""

import pathlib

from absl import flags

from experiments.common import command
from hrm_jax.data.sudoku import bank, csv_format, mixture, puzzle_files
from hrm_jax.data.sudoku.puzzles import Puzzles

_PUZZLES = flags.DEFINE_list("puzzles", None, "Collections to train on.", required=True)
_HELD_OUT = flags.DEFINE_list("held_out", ["bank"], "Collections to keep clear of.")
_SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave out puzzles that cannot be used.")
_OUT = flags.DEFINE_string("out", None, "The file, .csv or .csv.gz.", required=True)


def main() -> int:
    """Writes the file; returns the exit code."""
    collections = {_name(text): _read(text, ["train"]) for text in _PUZZLES.value}
    # Of the bank its training puzzles are learned from, so only its other splits are held out.
    held_out = [_read(text, ["validation", "test"]) for text in _HELD_OUT.value]
    joined = mixture.join(collections, held_out)
    csv_format.write(pathlib.Path(_OUT.value), joined.puzzles, joined.sources)
    print(
        f"{_OUT.value}: {len(joined.puzzles)} puzzles; left out: {joined.held_out} whose grid is "
        f"held out, {joined.repeated} that stood before"
    )
    return 0


def _name(text: str) -> str:
    """Returns a collection's name in the file: that of its own file, without suffixes."""
    return pathlib.Path(text).name.split(".")[0]


def _read(text: str, splits: list[str]) -> Puzzles:
    """Returns the puzzles of a file, or of splits of the bank."""
    if text != "bank":
        return puzzle_files.read(text, skip_bad=_SKIP_BAD.value)
    # The name `bank` has precedence; a file that is called so needs a path, as ./bank.
    return mixture.concatenate([puzzle_files.read(str(bank.shipped_file(s))) for s in splits])


if __name__ == "__main__":
    command.run(main)
