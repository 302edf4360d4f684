"""The bank of puzzles shipped with the package: how it is made, and its files.

Random minimal puzzles are mostly easy, so each chunk of new grids is aimed at the bands of
difficulty in proportion to what they still lack: the grids that start hardest climb to the hardest
bands (`generator.harden`), the easiest get extra givens (`generator.ease`) or stay as they are. A
climb that falls short still counts for the band it reached. Every grid gives one puzzle, the class
of the grid decides the split, and no class occurs twice, so no augmentation leads from one split to
another.
"""

import dataclasses
import importlib.resources
import importlib.resources.abc
from collections.abc import Callable, Iterator

import numpy as np

from hrm_jax.core.config import configclass, field
from hrm_jax.data.sudoku import canonical, generator, solver
from hrm_jax.data.sudoku.puzzles import Puzzles

SPLITS = ("train", "validation", "test")

_NUM_BANDS = len(solver.RATING_BANDS)
_EVEN_BANDS = f"each of the {_NUM_BANDS} rating bands has equally many puzzles"
_MOST_EXTRA_GIVENS = 8
# Of the raw puzzles of a split, at most three times as many as are missing are worked on.
_MOST_AIMED = 3
# The top band is open; a cap keeps its climb from ending in puzzles that take the solver seconds.
_HIGHEST_RATING = 1000


@configclass
class BankConfig:
    """The configuration of a bank.

    Attributes:
      seed: names the bank; equal configurations give equal banks.
      train: puzzles to train on, a positive multiple of the number of bands.
      validation: puzzles to choose by, likewise.
      test: puzzles to report on, likewise.
      chunk: grids made between two looks at what is still missing.
      tries: changes tried for a puzzle on its climb, see `generator.harden`.
    """

    seed: int = field(0, at_least=0)
    train: int = field(40_002, at_least=_NUM_BANDS, multiple_of=_NUM_BANDS, remedy=_EVEN_BANDS)
    validation: int = field(2_004, at_least=_NUM_BANDS, multiple_of=_NUM_BANDS, remedy=_EVEN_BANDS)
    test: int = field(2_004, at_least=_NUM_BANDS, multiple_of=_NUM_BANDS, remedy=_EVEN_BANDS)
    chunk: int = field(2_000, at_least=1)
    tries: int = field(300, at_least=0)

    @property
    def sizes(self) -> dict[str, int]:
        """Puzzles in each split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


@dataclasses.dataclass(frozen=True)
class BankSplit:
    """One split of the bank.

    Attributes:
      puzzles: [B] puzzles in random order, equally many of each rating band.
      sources: [B] how each was made: `random_eased`, `random_minimal` or `random_hardened`.
      classes: [B] names of the classes of their grids, all different.
    """

    puzzles: Puzzles
    sources: list[str]
    classes: list[str]


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """One puzzle that may enter the bank; the fields are single rows of `BankSplit`."""

    question: np.ndarray
    answer: np.ndarray
    rating: int
    source: str
    class_name: str


def split_of(class_name: str, config: BankConfig) -> str:
    """Returns the split of a class of grids; the splits get shares in proportion to their sizes."""
    # The name is a hash: read as a number, it is uniform between 0 and the total size.
    position = int(class_name, 16) / 2 ** (4 * len(class_name)) * sum(config.sizes.values())
    for split in ("test", "validation"):
        position -= config.sizes[split]
        if position < 0:
            return split
    return "train"


def _aim(
    rng: np.random.Generator, raw: Puzzles, missing: np.ndarray, tries: int
) -> Iterator[tuple[np.ndarray, Puzzles, str]]:
    """Moves raw puzzles of one split towards the bands, in proportion to `missing` [bands].

    Yields:
      For each band and way of making: (indices into `raw`, the puzzles there, their source).
    """
    # Sorted by rating, the raw puzzles are cut into one run a band; a band that misses more gets
    # more.
    by_rating = np.argsort(raw.ratings, kind="stable")
    edges = np.rint(np.cumsum(missing) / missing.sum() * len(raw)).astype(int)
    for band, (lowest, highest) in enumerate(solver.RATING_BANDS):
        rows = by_rating[edges[band - 1] if band else 0 : edges[band]]
        before = raw.take(rows)
        if band == 0:
            after = generator.ease(rng, before, _MOST_EXTRA_GIVENS)
            source = "random_eased"
        else:
            highest = _HIGHEST_RATING if highest is None else highest
            after = generator.harden(rng, before, lowest, highest, tries)
            source = "random_hardened"
        # Puzzles that did not change keep the name of what they are: random and minimal.
        changed = (after.questions != before.questions).any(axis=1)
        yield rows[changed], after.take(changed), source
        yield rows[~changed], after.take(~changed), "random_minimal"


def _make_chunk(
    rng: np.random.Generator, missing: dict[str, np.ndarray], config: BankConfig
) -> Iterator[tuple[str, _Candidate]]:
    """Makes one chunk of grids and yields (split, puzzle) for the splits that still miss some."""
    raw = generator.generate(rng, config.chunk)
    classes = np.array(canonical.grid_classes(raw.answers))
    splits = np.array([split_of(class_name, config) for class_name in classes])
    for split in SPLITS:
        # Climbs are the expensive part: a few times the puzzles that are missing are enough.
        mine = np.flatnonzero(splits == split)[: _MOST_AIMED * missing[split].sum()]
        if mine.size == 0:
            continue
        aimed = _aim(rng, raw.take(mine), missing[split], config.tries)
        for rows, puzzles, source in aimed:
            for row, question, answer, rating in zip(
                mine[rows], puzzles.questions, puzzles.answers, puzzles.ratings, strict=True
            ):
                yield split, _Candidate(question, answer, int(rating), source, str(classes[row]))


def _finish(rng: np.random.Generator, chosen: list[_Candidate]) -> BankSplit:
    """Shuffles the chosen puzzles of a split, so that any part of it holds all bands."""
    mixed = [chosen[i] for i in rng.permutation(len(chosen))]
    puzzles = Puzzles(
        questions=np.stack([candidate.question for candidate in mixed]),
        answers=np.stack([candidate.answer for candidate in mixed]),
        ratings=np.array([candidate.rating for candidate in mixed], dtype=np.int32),
    )
    return BankSplit(
        puzzles,
        sources=[candidate.source for candidate in mixed],
        classes=[candidate.class_name for candidate in mixed],
    )


def make_bank(
    config: BankConfig, report: Callable[[dict[str, np.ndarray]], None] = lambda missing: None
) -> dict[str, BankSplit]:
    """Makes the bank.

    Args:
      config: sizes and seed.
      report: called after every chunk with the puzzles each split still misses, int [bands].

    Returns:
      For each name in `SPLITS` its split.
    """
    rng = np.random.default_rng(config.seed)
    quota = {split: size // _NUM_BANDS for split, size in config.sizes.items()}
    cells: dict[tuple[str, int], list[_Candidate]] = {
        (split, band): [] for split in SPLITS for band in range(_NUM_BANDS)
    }
    seen: set[str] = set()
    missing = {split: np.full(_NUM_BANDS, quota[split]) for split in SPLITS}
    while any(lacking.any() for lacking in missing.values()):
        for split, candidate in _make_chunk(rng, missing, config):
            # A candidate counts for the band it reached, whatever band it was aimed at.
            cell = cells[split, solver.rating_band(candidate.rating)]
            if candidate.class_name not in seen and len(cell) < quota[split]:
                seen.add(candidate.class_name)
                cell.append(candidate)
        missing = {
            split: np.array([quota[split] - len(cells[split, band]) for band in range(_NUM_BANDS)])
            for split in SPLITS
        }
        report(missing)
    return {
        split: _finish(rng, [c for band in range(_NUM_BANDS) for c in cells[split, band]])
        for split in SPLITS
    }


def shipped_file(split: str) -> importlib.resources.abc.Traversable:
    """Returns the file of the shipped bank with one split, as `puzzle_files` reads it.

    Raises:
      ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"the bank has the splits {', '.join(SPLITS)}, not {split!r}")
    return importlib.resources.files("hrm_jax.data.sudoku") / "bank" / f"{split}.csv.gz"
