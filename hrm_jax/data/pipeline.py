"""Batches of puzzles: deterministic, resumable, split over processes.

A source is decoded once into arrays (four million puzzles take 0.7 GB); `rows` says which of them a
batch holds.

Building whole batches makes it fast: one core gives about 200,000 augmented Sudoku puzzles a second
(4,000 with one element at a time through grain):

    python -m timeit -n 300 -r 3 \\
      -s 'from hrm_jax.data import pipeline as p' \\
      -s 'from hrm_jax.data.sudoku.source import load_source' \\
      -s 'b = p.training_batches(load_source("bank", "train"), p.PipelineConfig(batch_size=384))' \\
      'next(b)'
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int32, UInt8

from hrm_jax.core.config import configclass
from hrm_jax.core.types import IGNORE_LABEL, Batch
from hrm_jax.data import rows

if TYPE_CHECKING:
    import grain

PAD_TOKEN = 0
PADDING_RATING = -1
"""Rating of the rows that only fill up a batch; ratings of puzzles are at least 0."""

Augment = Callable[
    [UInt8[np.ndarray, "B T"], UInt8[np.ndarray, "B T"], int, int],
    tuple[UInt8[np.ndarray, "B T"], UInt8[np.ndarray, "B T"]],
]
"""(inputs, labels, seed, first_index) -> (inputs, labels), a random symmetry for every row.

Row b depends on (seed, first_index + b) and on the row itself, and on nothing else.
"""

PuzzleBatch = dict[str, np.ndarray]
"""`inputs` and `labels` int32 [B, T], `puzzle_identifiers` and `rating` int32 [B]."""


@dataclasses.dataclass(frozen=True)
class Source:
    """All puzzles of a split, in memory.

    Attributes:
      inputs: uint8 [B, T], tokens of the puzzles.
      labels: uint8 [B, T], tokens of the solutions, at every cell.
      rating: int32 [B], difficulty, at least 0.
      augment: the random symmetries of these puzzles, or None if they have none.
    """

    inputs: UInt8[np.ndarray, "B T"]
    labels: UInt8[np.ndarray, "B T"]
    rating: Int32[np.ndarray, "B"]
    augment: Augment | None = None

    def __post_init__(self) -> None:
        expected = {"inputs": (2, np.uint8), "labels": (2, np.uint8), "rating": (1, np.int32)}
        for name, (rank, dtype) in expected.items():
            array = getattr(self, name)
            if array.ndim != rank or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} with {rank} dimension(s), but it is"
                    f" {array.dtype} with shape {array.shape}"
                )
        if self.inputs.shape != self.labels.shape or len(self.inputs) != len(self.rating):
            raise ValueError(
                "inputs, labels and rating must agree in shape, but they have"
                f" {self.inputs.shape}, {self.labels.shape} and {self.rating.shape}"
            )
        if len(self.rating) == 0:
            raise ValueError("a source needs at least one puzzle, but this one is empty")

    def __len__(self) -> int:
        return len(self.rating)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of puzzles and solutions in their order, in hexadecimal."""
        # With the shape, as bytes alone do not say where a puzzle ends.
        digest = hashlib.sha256(str(self.inputs.shape).encode("ascii"))
        for array in (self.inputs, self.labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def with_fixed_augmentations(source: Source, count: int, seed: int) -> Source:
    """Returns each puzzle `1 + count` times: itself, and under `count` fixed random symmetries.

    This is how the original implementations augment (1,000 for Sudoku); the pipeline's own
    augmentation, a new symmetry at every visit, is stronger and needs no memory.

    Args:
      source: puzzles with symmetries.
      count: symmetries drawn for each puzzle.
      seed: of the draw.

    Returns:
      A source without further augmentation.

    Raises:
      ValueError: the source has no symmetries.
    """
    if source.augment is None:
        raise ValueError("fixed augmentations need a source with symmetries; this one has none")
    # `np.repeat` keeps the copies of a puzzle together, so symmetry number i belongs to puzzle i //
    # count.
    inputs, labels = (np.repeat(array, count, axis=0) for array in (source.inputs, source.labels))
    inputs, labels = source.augment(inputs, labels, seed, 0)
    return Source(
        inputs=np.concatenate([source.inputs, inputs]),
        labels=np.concatenate([source.labels, labels]),
        rating=np.concatenate([source.rating, np.repeat(source.rating, count)]),
        augment=None,
    )


@configclass
class PipelineConfig(rows.RowsConfig):
    """The configuration of training batches.

    Attributes:
      augment: whether each visit of a puzzle shows it under a new random symmetry.
    """

    augment: bool = True


def training_batches(
    source: Source, config: PipelineConfig
) -> "grain.DatasetIterator[PuzzleBatch]":
    """Returns an iterator over training batches.

    Args:
      source: the puzzles.
      config: size, order, augmentation and share of this process.

    Returns:
      An iterator over `PuzzleBatch`, [batch_size, ...] each. `get_state()` is a dictionary that can
      be written as JSON; after `set_state(state)` an iterator with the same source and config goes
      on exactly where the state was taken.

    Raises:
      ValueError: augmentation is asked for and the source has none, or not one batch would come.
    """
    augment = source.augment if config.augment else None
    if config.augment and augment is None:
        raise ValueError("this source has no augmentation: set augment=False in the config")

    # `first` counts rows over all epochs and processes, so every visit of a puzzle has its own
    # symmetry, and a resumed run draws the same ones.
    def make_batch(chosen: np.ndarray, first: int) -> PuzzleBatch:
        inputs = source.inputs[chosen]
        labels = source.labels[chosen]
        if augment is not None:
            inputs, labels = augment(inputs, labels, config.seed, first)
        return _fill_batch(inputs, labels, source.rating[chosen], config.batch_size)

    return rows.batches_of_rows(len(source), config, make_batch)


def evaluation_batches(
    source: Source, batch_size: int, process_index: int = 0, process_count: int = 1
) -> Iterator[PuzzleBatch]:
    """Returns an iterator over every puzzle once, in the order of the source.

    Args:
      source: the puzzles.
      batch_size: rows a batch on this process.
      process_index: which process this is; the processes share each batch as in training.
      process_count: number of processes; all get the same number of batches.

    Returns:
      An iterator over `PuzzleBatch`, [batch_size, ...] each. What is missing in the last one is
      filled with rows of padding: all labels `IGNORE_LABEL`, rating `PADDING_RATING`.

    Raises:
      ValueError: as `PipelineConfig`.
    """
    # One epoch of training batches, in order: processes share evaluation as they share training.
    config = PipelineConfig(
        batch_size,
        shuffle=False,
        augment=False,
        num_epochs=1,
        drop_remainder=False,
        process_index=process_index,
        process_count=process_count,
    )
    return training_batches(source, config)


def as_batch(rows: Mapping[str, Any]) -> Batch:
    """Returns the arrays of a batch as a `Batch`."""
    return Batch(rows["inputs"], rows["labels"], rows["puzzle_identifiers"])


def _fill_batch(
    inputs: np.ndarray, labels: np.ndarray, rating: np.ndarray, batch_size: int
) -> PuzzleBatch:
    """Widens the arrays to int32 and appends rows of padding up to `batch_size`."""
    missing = batch_size - len(rating)

    def fill(rows: np.ndarray, value: int) -> np.ndarray:
        # Only rows are added, behind those that there are; other axes keep their lengths.
        widths = [(0, missing)] + [(0, 0)] * (rows.ndim - 1)
        return np.pad(rows.astype(np.int32), widths, constant_values=value)

    return {
        "inputs": fill(inputs, PAD_TOKEN),
        "labels": fill(labels, IGNORE_LABEL),
        # All puzzles share identifier 0: they have no embeddings of their own.
        "puzzle_identifiers": np.zeros(batch_size, dtype=np.int32),
        "rating": fill(rating, PADDING_RATING),
    }
