"""Sudoku puzzles in memory, prepared by the TFDS builder at first use."""

import difflib
import logging
import pathlib
from collections.abc import Mapping

import numpy as np

from hrm_jax.core.errors import UserError
from hrm_jax.data import storage
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import symmetry
from hrm_jax.data.sudoku.sudoku_dataset_builder import Builder, SudokuConfig

_DTYPES = {"inputs": np.uint8, "labels": np.uint8, "rating": np.int32}

_log = logging.getLogger(__name__)


def load_source(
    config: str | SudokuConfig, split: str, data_dir: pathlib.Path | str | None = None
) -> Source:
    """Loads a split, after preparing the data if that was not done before.

    Damaged data are named in a logged warning, and prepared again.

    Args:
      config: `bank`, `extreme` or `extreme_1k`, or a configuration from
        `sudoku_dataset_builder.csv_config`, for files of the user.
      split: `train`, `validation` or `test`.
      data_dir: folder for prepared data; `default_data_dir()` if None.

    Returns:
      The puzzles, with the symmetries of Sudoku as augmentation.

    Raises:
      ValueError: there is no such configuration or split.
      puzzle_files.PuzzleFileError: a file has unusable rows.
      storage.Damaged: the data are damaged, and cannot be prepared again.
      DownloadError: Sudoku-Extreme cannot be downloaded.
    """
    if isinstance(config, str):
        config = _find_config(config)
    data_dir = storage.data_dir_of(data_dir)
    folder = storage.prepared_folder(Builder, config.name, data_dir)
    if not folder.exists():
        _log.info("preparing %s", folder)
        # Other processes may prepare the same at once: whoever is first stays.
        storage.make(Builder, config, data_dir, replace=False)
    try:
        arrays = _arrays(folder, split)
    except storage.Damaged as damage:
        _log.warning("%s; they are prepared again", damage)
        try:
            storage.make(Builder, config, data_dir, replace=True)
        except (UserError, OSError) as failure:
            raise storage.Damaged(f"{damage}, and cannot be prepared again: {failure}") from failure
        arrays = _arrays(folder, split)
    return Source(**arrays, augment=symmetry.augment)


def _find_config(name: str) -> SudokuConfig:
    configs = {config.name: config for config in Builder.BUILDER_CONFIGS}
    if name not in configs:
        nearest = difflib.get_close_matches(name, configs, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(
            f"the configurations are {', '.join(configs)}, not {name!r}{hint} (files of your own"
            " are given by csv_config)"
        )
    return configs[name]


def _arrays(folder: pathlib.Path, split: str) -> Mapping[str, np.ndarray]:
    """Returns the arrays of a split; raises Damaged, and ValueError for a split there is not."""
    splits = sorted(storage.open_prepared(folder).info.splits)
    if split not in splits:
        raise ValueError(
            f"{folder.parent.name} has the splits {', '.join(splits)}, not {split!r}; files of the"
            " user have a test split only if a test file is given"
        )

    def decode() -> Mapping[str, np.ndarray]:
        parts: dict[str, list[np.ndarray]] = {name: [] for name in _DTYPES}
        for rows in storage.read_records(folder, split):
            for name, dtype in _DTYPES.items():
                parts[name].append(np.array([row[name] for row in rows], dtype=dtype))
        return {name: np.concatenate(part) for name, part in parts.items()}

    # Decoding takes 60 us a record, minutes for millions: the arrays are kept beside the records.
    return storage.kept_arrays(folder / f"arrays-{split}.npz", _DTYPES, decode)
