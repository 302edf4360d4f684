"""Sudoku puzzles in memory, prepared by the TFDS builder at first use."""

import difflib
import os
import pathlib
import tempfile

import numpy as np

from hrm_jax.data.pipeline import Source
from hrm_jax.data.storage import default_data_dir, quiet_tfds
from hrm_jax.data.sudoku import symmetry
from hrm_jax.data.sudoku.sudoku_dataset_builder import Builder, SudokuConfig

# Records decoded at once: few enough for a gigabyte of Python objects.
_DECODE_ROWS = 100_000


def load_source(
    config: str | SudokuConfig, split: str, data_dir: pathlib.Path | str | None = None
) -> Source:
    """Loads a split, after preparing the data if that was not done before.

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
    """
    if isinstance(config, str):
        config = _find_config(config)
    data_dir = default_data_dir() if data_dir is None else pathlib.Path(data_dir).expanduser()
    builder = _prepared(config, data_dir)
    if split not in builder.info.splits:
        raise ValueError(
            f"{config.name} has the splits {', '.join(sorted(builder.info.splits))}, not {split!r};"
            " files of the user have a test split only if a test file is given"
        )
    # Decoding takes 60 us a record, minutes for millions: the arrays are kept beside the records.
    arrays = pathlib.Path(builder.data_dir) / f"arrays-{split}.npz"
    if not arrays.exists():
        _decode(builder, split, arrays)
    with np.load(arrays) as decoded:
        return Source(
            inputs=decoded["inputs"],
            labels=decoded["labels"],
            rating=decoded["rating"],
            augment=symmetry.augment,
        )


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


def _prepared(config: SudokuConfig, data_dir: pathlib.Path) -> Builder:

    def prepare() -> Builder:
        builder = Builder(config=config, data_dir=str(data_dir), file_format="array_record")
        builder.download_and_prepare()
        return builder

    with quiet_tfds():
        try:
            return prepare()
        except FileExistsError:  # another process was faster; a new builder reads what it made
            return prepare()


def _decode(builder: Builder, split: str, path: pathlib.Path) -> None:
    """Decodes all records of a split into arrays and saves them under `path`."""
    records = builder.as_data_source(split)  # pyright: ignore[reportCallIssue] (untyped wrapper)
    dtypes = {"inputs": np.uint8, "labels": np.uint8, "rating": np.int32}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in dtypes}
    for first in range(0, len(records), _DECODE_ROWS):
        rows = records.__getitems__(range(first, min(first + _DECODE_ROWS, len(records))))
        for name, dtype in dtypes.items():
            parts[name].append(np.array([row[name] for row in rows], dtype=dtype))
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    # Written aside and renamed, so that a reader beside us never sees half a file.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
        np.savez(file, inputs=arrays["inputs"], labels=arrays["labels"], rating=arrays["rating"])
    os.replace(file.name, path)
