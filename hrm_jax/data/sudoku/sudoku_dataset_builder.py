"""The TFDS builder of Sudoku: the shipped bank, files of the user, and Sudoku-Extreme.

Configurations:

- `bank`: the bank that ships with the package; nothing is downloaded.
- `extreme`: the official Sudoku-Extreme files, downloaded from Hugging Face, or put by hand into
  the folder `downloads/sudoku_extreme` of prepared data.
- `extreme_1k`: 1,000 of its training puzzles, drawn by numpy's generator with seed 0, and all of
  its test puzzles: the setting of the published results.
- `csv_<hash>`, from `csv_config`: files of the user. The name holds a hash of their content, so two
  different files never share a prepared folder, and the same file is prepared once.

Where no validation file exists, about 1 % of the training puzzles are held out: those whose class
fingerprint (`canonical.class_fingerprints`) is a multiple of 100, so that no symmetry leads from
one split to the other. Of small files it is a tenth of the classes, up to ten of them, and never
none.

Records keep the order of the file. The data is written as array_record, without TensorFlow.
"""

import contextlib
import dataclasses
import hashlib
import importlib.resources
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from hrm_jax.data.downloads import DownloadError, download
from hrm_jax.data.sudoku import bank, canonical, csv_format, puzzle_files, rules
from hrm_jax.data.sudoku.puzzles import Puzzles

EXTREME_ADDRESS = "https://huggingface.co/datasets/sapientinc/sudoku-extreme/resolve/main"

_HOLD_OUT_EVERY = 100
# Classes; of fewer than a hundred, a tenth.
_FEWEST_HELD_OUT = 10
# Part of the names of prepared files; a new one when the same files give other puzzles or splits.
_FILES_VERSION = 2
_SUBSAMPLE_SEED = 0
_HASH_BLOCK_BYTES = 2**20
_SHOWN_BYTES = 60


@dataclasses.dataclass(eq=False, kw_only=True)
class SudokuConfig(tfds.core.BuilderConfig):
    """One configuration of the builder; see the module's text.

    Attributes:
      files: for each split the path of its file; empty if the files are shipped or downloaded.
      address: where `train.csv` and `test.csv` are downloaded from, without a slash at the end.
      train_puzzles: size of the training set that is drawn; None for all.
      skip_bad: leave out puzzles of the files that cannot be used.
    """

    files: dict[str, str] = dataclasses.field(default_factory=dict)
    address: str | None = None
    train_puzzles: int | None = None
    skip_bad: bool = False


def csv_config(
    train: pathlib.Path | str | None = None,
    validation: pathlib.Path | str | None = None,
    test: pathlib.Path | str | None = None,
    skip_bad: bool = False,
) -> SudokuConfig:
    """Returns the configuration for files of any kind that `puzzle_files` reads.

    Args:
      train: the training puzzles; None to measure on the other files only.
      validation: puzzles to choose by; without it, some training puzzles are held out.
      test: puzzles to report on; without it there is no test split.
      skip_bad: leave out puzzles that cannot be used, instead of refusing the file.

    Raises:
      FileNotFoundError: a file does not exist.
      ValueError: no file is given.
    """
    given = {"train": train, "validation": validation, "test": test}
    if not any(given.values()):
        raise ValueError("csv_config needs at least one file: give train, validation or test")
    files = {
        split: str(pathlib.Path(path).expanduser().resolve())
        for split, path in given.items()
        if path is not None
    }
    # `skip_bad` leaves puzzles out, so it makes other data of the same files.
    digest = hashlib.sha256(f"{_FILES_VERSION};{skip_bad};".encode("ascii"))
    for split, path in files.items():
        # The split is hashed with the content: the same file as train or as test is other data.
        digest.update(f"{split}:{_content_hash(path)};".encode("ascii"))
    return SudokuConfig(
        name=f"csv_{digest.hexdigest()[:16]}",
        description="Puzzle files given by the user.",
        files=files,
        skip_bad=skip_bad,
    )


def extreme_config(
    address: str = EXTREME_ADDRESS, train_puzzles: int | None = None
) -> SudokuConfig:
    """Returns the configuration for Sudoku-Extreme, all of it or a number of training puzzles.

    The name is `extreme` or `extreme_1k` at the official address, and holds a hash of the address
    elsewhere, so that a mirror never passes for the original.

    Raises:
      ValueError: `train_puzzles` is below 1.
    """
    if train_puzzles is not None and train_puzzles < 1:
        raise ValueError(f"train_puzzles is a number of puzzles or None, not {train_puzzles}")
    size = "" if train_puzzles is None else "_1k" if train_puzzles == 1000 else f"_{train_puzzles}"
    return SudokuConfig(
        name=f"extreme{size}{_mirror(address)}",
        description="Sudoku-Extreme: puzzles that are hard for solvers, rated by tdoku's guesses.",
        address=address.rstrip("/"),
        train_puzzles=train_puzzles,
    )


def _mirror(address: str) -> str:
    """Returns what names an address other than the official one."""
    if address == EXTREME_ADDRESS:
        return ""
    return f"_mirror_{hashlib.sha256(address.encode()).hexdigest()[:8]}"


def _content_hash(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _hold_out(train: Puzzles) -> dict[str, Puzzles]:
    """Splits off the validation puzzles, by class.

    Raises:
      ValueError: all puzzles are of one class.
    """
    fingerprints = canonical.class_fingerprints(train.answers)
    classes = np.unique(fingerprints)
    if len(classes) == 1:
        raise ValueError(
            "some training puzzles are held out, so at least 2 are needed whose solved grids differ"
            f" by more than a symmetry, but {len(train)} of one grid came: add others"
        )
    remainders = classes % np.uint64(_HOLD_OUT_EVERY)
    fewest = min(_FEWEST_HELD_OUT, len(classes) // _FEWEST_HELD_OUT)
    count = max((remainders == 0).sum(), fewest, 1)
    # Fingerprints are as good as random, and so is their order.
    chosen = classes[np.lexsort((classes, remainders))[: min(count, len(classes) - 1)]]
    held_out = np.isin(fingerprints, chosen)
    return {"train": train.take(~held_out), "validation": train.take(held_out)}


def _subsample(train: Puzzles, size: int) -> Puzzles:
    """Draws puzzles without replacement; the order is that of the draw."""
    if size > len(train):
        raise ValueError(
            f"{size} training puzzles were asked for, but there are only {len(train)}: ask for"
            " fewer, or for all with None"
        )
    # The same puzzles for everybody, whatever the seed of a run: it is a part of the data.
    rng = np.random.default_rng(_SUBSAMPLE_SEED)
    return train.take(rng.choice(len(train), size=size, replace=False))


def _downloaded(address: str, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the files of Sudoku-Extreme in a folder, after downloading what is not there.

    Raises:
      DownloadError: that fails; the message says where to put the files by hand.
      PuzzleFileError: a file that is there is no such file.
    """
    files = {split: folder / f"{split}.csv" for split in ("train", "test")}
    for path in files.values():
        # Put there by hand or left by an earlier run: looked at, but not fetched again.
        if path.exists():
            came = _other_beginning(path)
            if came is not None:
                raise puzzle_files.PuzzleFileError(
                    f"{path}: expected the first line {csv_format.HEADER}, got {came}; delete it,"
                    f" and it is downloaded again from {address}"
                )
            continue
        try:
            _download(f"{address}/{path.name}", path)
        except DownloadError as error:
            names = " and ".join(file.name for file in files.values())
            raise DownloadError(
                f"{error}. Try again with a network, or put {names} of {address} into {folder}:"
                " files that are there are read, not downloaded"
            ) from error
    return files


def _download(address: str, path: pathlib.Path) -> None:
    """Downloads a file of Sudoku-Extreme; raises DownloadError, also if something else came."""
    download(address, path)
    came = _other_beginning(path)
    if came is not None:
        # Networks that ask for a login first answer with a page, and say that all is well.
        path.unlink()
        raise DownloadError(
            f"{address}: expected the first line {csv_format.HEADER}, got {came}; see in a browser"
            " whether the network asks for a login"
        )


def _other_beginning(path: pathlib.Path) -> str | None:
    """Returns how a file begins that is none of Sudoku-Extreme's; None for one that is."""
    with open(path, "rb") as file:
        # A page of HTML may be one line of megabytes: no more is read than is shown.
        first = file.readline(len(csv_format.HEADER) + _SHOWN_BYTES)
    line = first.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    return None if line == csv_format.HEADER else repr(line[:_SHOWN_BYTES])


class Builder(tfds.core.GeneratorBasedBuilder):
    """Sudoku puzzles as tokens, one record a puzzle."""

    name = "sudoku"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar = [
        SudokuConfig(name="bank", description="The bank of puzzles shipped with the package."),
        extreme_config(),
        extreme_config(train_puzzles=1000),
    ]

    @property
    def _config(self) -> SudokuConfig:
        if not isinstance(self.builder_config, SudokuConfig):
            raise TypeError(
                "Sudoku is configured by a SudokuConfig (see csv_config, extreme_config), not by"
                f" {self.builder_config!r}"
            )
        return self.builder_config

    def _info(self) -> tfds.core.DatasetInfo:
        cells = tfds.features.Tensor(shape=(rules.NUM_CELLS,), dtype=np.uint8)
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._config.description,
            features=tfds.features.FeaturesDict(
                {
                    "inputs": cells,
                    "labels": cells,
                    "rating": tfds.features.Scalar(dtype=np.int32),
                }
            ),
            # Records stay in the order of the file; batches are shuffled by `hrm_jax.data.rows`.
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        # Shipped files may have to be unpacked from a zipped package; they exist while `stack` is
        # open.
        with contextlib.ExitStack() as stack:
            files = self._find_files(dl_manager, stack)
            splits = {
                split: puzzle_files.read(path, skip_bad=self._config.skip_bad)
                for split, path in files.items()
            }
        # Held out before the draw below, so that validation does not depend on its size.
        if "validation" not in splits and "train" in splits:
            splits |= _hold_out(splits["train"])
        if self._config.train_puzzles is not None:
            splits["train"] = _subsample(splits["train"], self._config.train_puzzles)
        return {split: self._generate_examples(puzzles) for split, puzzles in splits.items()}

    def _find_files(
        self, dl_manager: tfds.download.DownloadManager, stack: contextlib.ExitStack
    ) -> dict[str, pathlib.Path]:
        """Returns the file of every split; shipped ones are valid while `stack` is open."""
        config = self._config
        if config.files:
            return {split: pathlib.Path(path) for split, path in config.files.items()}
        if config.address is not None:
            downloads = pathlib.Path(dl_manager.download_dir)
            return _downloaded(
                config.address, downloads / f"sudoku_extreme{_mirror(config.address)}"
            )
        return {
            split: stack.enter_context(importlib.resources.as_file(bank.shipped_file(split)))
            for split in bank.SPLITS
        }

    def _generate_examples(self, puzzles: Puzzles) -> Iterator[tuple[int, dict[str, Any]]]:
        inputs = rules.encode(puzzles.questions)
        labels = rules.encode(puzzles.answers)
        for row, rating in enumerate(puzzles.ratings):
            yield row, {"inputs": inputs[row], "labels": labels[row], "rating": rating}
