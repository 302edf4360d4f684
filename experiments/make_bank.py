"""Makes the bank of puzzles that ships with the package.

The shipped files come from

    python -m experiments.make_bank --seed=0 --out=hrm_jax/data/sudoku/bank

which takes about 25 minutes on one core, and gives the same bytes wherever numpy and zlib are the
same.
"""

import pathlib
import time

import numpy as np
from absl import flags, logging

from experiments.common import command
from hrm_jax.data.sudoku import bank, csv_format, solver

_DEFAULTS = bank.BankConfig()
_SEED = flags.DEFINE_integer("seed", _DEFAULTS.seed, "Names the bank.", lower_bound=0)
_OUT = flags.DEFINE_string("out", None, "Folder for the files, made if absent.", required=True)
_TRAIN = flags.DEFINE_integer("train", _DEFAULTS.train, "Puzzles to train on.")
_VALIDATION = flags.DEFINE_integer("validation", _DEFAULTS.validation, "Puzzles to validate on.")
_TEST = flags.DEFINE_integer("test", _DEFAULTS.test, "Puzzles to test on.")


def main() -> None:
    """Makes the bank and writes one file for each split."""
    config = bank.BankConfig(
        seed=_SEED.value, train=_TRAIN.value, validation=_VALIDATION.value, test=_TEST.value
    )
    started = time.monotonic()

    def report(missing: dict[str, np.ndarray]) -> None:
        bands = ", ".join(
            f"{lowest}{'+' if highest is None else f'-{highest}'}: {count}"
            for (lowest, highest), count in zip(
                solver.RATING_BANDS, np.sum(list(missing.values()), axis=0), strict=True
            )
        )
        logging.info("%.0f s; missing by rating: %s", time.monotonic() - started, bands)

    out = pathlib.Path(_OUT.value)
    # Before the bank is made: a folder that cannot be made is told at once, not after 25 minutes.
    out.mkdir(parents=True, exist_ok=True)
    for split, content in bank.make_bank(config, report).items():
        path = out / f"{split}.csv.gz"
        csv_format.write(path, content.puzzles, content.sources)
        logging.info("%s: %d puzzles, %d bytes", path, len(content.puzzles), path.stat().st_size)


if __name__ == "__main__":
    command.run(main)
