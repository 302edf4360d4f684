"""Prepared data: where they lie, and the one place where they are made, checked and opened.

Prepared data are a folder that a TFDS builder writes once, as array_record, and arrays that are
kept beside its records. What turns out to be damaged is named, and made again where that is
possible.
"""

import contextlib
import errno
import io
import itertools
import logging
import os
import pathlib
import re
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging as absl_logging

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import appearing_whole

DATA_DIR_VARIABLE = "HRM_JAX_DATA"
"""Environment variable with the folder for prepared data."""

# Records decoded at once: few enough for documents of some kB each.
_DECODE_ROWS = 1000
_LONGEST_REASON = 200
# Errors of the machine, which pass or which its owner ends; none of them is a file's fault.
_OF_THE_MACHINE = (
    errno.EACCES,
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EPERM,
    errno.ESTALE,
    errno.ETIMEDOUT,
)

_log = logging.getLogger(__name__)


class Damaged(UserError, OSError):
    """Prepared data cannot be read; the message names them, and says what is wrong with them."""


def default_data_dir() -> pathlib.Path:
    """Returns the folder named by `HRM_JAX_DATA`, or `~/.cache/hrm_jax`."""
    return pathlib.Path(os.environ.get(DATA_DIR_VARIABLE) or "~/.cache/hrm_jax").expanduser()


def data_dir_of(named: pathlib.Path | str | None) -> pathlib.Path:
    """Returns the named folder for prepared data, or `default_data_dir()` for None."""
    return default_data_dir() if named is None else pathlib.Path(named).expanduser()


def prepared_folder(
    builder: type[tfds.core.GeneratorBasedBuilder], config: str, data_dir: pathlib.Path
) -> pathlib.Path:
    """Returns the folder of the data that a builder makes of a configuration of this name."""
    return data_dir / builder.name / config / str(builder.VERSION)


def make(
    builder: type[tfds.core.GeneratorBasedBuilder],
    config: tfds.core.BuilderConfig,
    data_dir: pathlib.Path,
    *,
    replace: bool,
    keep_as: pathlib.Path | None = None,
) -> pathlib.Path:
    """Makes data, which appear in their folder only when they are whole.

    Args:
      builder: makes them.
      config: what to make; its name names the folder.
      data_dir: folder for prepared data; downloads are kept in its folder `downloads`.
      replace: whether data that are there already give way, or stay as they are.
      keep_as: the name that data get which give way; they are deleted if None.

    Returns:
      `prepared_folder`.
    """
    folder = prepared_folder(builder, config.name, data_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the others, so that renaming moves no bytes.
    with tempfile.TemporaryDirectory(prefix=".making-", dir=data_dir) as aside:
        with quiet_tfds():
            making = builder(config=config, data_dir=aside, file_format="array_record")
            making.download_and_prepare(download_dir=str(data_dir / "downloads"))
        old = keep_as or pathlib.Path(aside) / "replaced"
        if replace and folder.exists():
            os.rename(folder, old)
        try:
            os.rename(making.data_dir, folder)
        except OSError:
            # If it is there, another process was faster, and what it made is as good.
            if not folder.exists():
                if old.exists():
                    os.rename(old, folder)
                raise
    return folder


def name_for_damaged(folder: pathlib.Path) -> pathlib.Path:
    """Returns a free name beside a folder of prepared data, for `keep_as`."""
    numbers = itertools.count(1)
    names = (folder.with_name(f"{folder.name}-damaged-{number}") for number in numbers)
    return next(name for name in names if not name.exists())


def open_prepared(folder: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the builder that reads prepared data.

    Raises:
      Damaged: what describes the data cannot be read, or a file of records is missing.
    """
    with quiet_tfds(), _naming_damage(folder):
        builder = tfds.builder_from_directory(str(folder))
        if not builder.info.splits:
            raise ValueError("no splits are named")
        for split in builder.info.splits.values():
            for path in split.filepaths:
                if not path.exists():
                    raise ValueError(f"{path.name} is missing")
        # Parsed at the first access, which is to be here.
        _ = builder.info.metadata
        return builder


def read_records(folder: pathlib.Path, split: str) -> Iterator[list[dict[str, Any]]]:
    """Yields the records of a split of prepared data, in order, some at a time.

    Raises:
      Damaged: they cannot be read.
    """
    builder = open_prepared(folder)
    with _naming_damage(folder):
        records: Any = builder.as_data_source(split)  # pyright: ignore[reportCallIssue]
    for first in range(0, len(records), _DECODE_ROWS):
        with _naming_damage(folder):
            rows = records.__getitems__(range(first, min(first + _DECODE_ROWS, len(records))))
            # A file that was cut between two of its blocks is read as records without values.
            if any(value is None for row in rows for value in row.values()):
                raise ValueError(f"records of {split} are missing")
        yield rows


def check_prepared(folder: pathlib.Path) -> None:
    """Reads everything in a folder of prepared data.

    Raises:
      Damaged: something cannot be read.
    """
    for split in open_prepared(folder).info.splits:
        for _ in read_records(folder, split):
            pass


def kept_arrays(
    path: pathlib.Path,
    names: Collection[str],
    make: Callable[[], Mapping[str, Any]],
) -> Mapping[str, np.ndarray]:
    """Returns arrays that are kept in a file, so that they are made only once.

    Args:
      path: the file, `.npz`. Where it is absent it is written, and where it is damaged a logged
        warning names it, and it is written again.
      names: of the arrays.
      make: makes them, and perhaps others.
    """
    if path.exists():
        try:
            # Opened here, as `np.load` does not close a file that it cannot read.
            with _naming_damage(path), open(path, "rb") as file, np.load(file) as kept:
                return {name: kept[name] for name in names}
        except Damaged as damage:
            _log.warning("%s; it is made again", damage)
    made = make()
    arrays = {name: made[name] for name in names}
    with appearing_whole(path) as file:
        np.savez(file, **arrays)
    return arrays


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS from printing messages and bars; the caller shows that it works."""
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # Protobuf 6.33 of its own reader of JSON.
            warnings.filterwarnings("ignore", r"label\(\) is deprecated", DeprecationWarning)
            yield
    finally:
        absl_logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()


@contextlib.contextmanager
def _naming_damage(path: pathlib.Path) -> Iterator[None]:
    """Turns what a reader says about the bytes of a file into `Damaged`.

    What the file is not to blame for stays what it is: errors of the machine, and of packages.
    """
    try:
        yield
    # TFDS, protobuf, array_record, zipfile and numpy each have errors of their own.
    except Exception as error:
        other = _no_damage(error, path)
        if other is not None:
            raise other from None
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0][:_LONGEST_REASON].rstrip('.')}"
        raise Damaged(f"prepared data are damaged: {path} ({reason})") from error


def _no_damage(error: BaseException, path: pathlib.Path) -> BaseException | None:
    """Returns what an error comes from if that is no damage to a file; None if it is."""
    if isinstance(error, ImportError):
        return None if _names_module(path / "features.json", error.name) else error
    if isinstance(error, (MemoryError, PermissionError)):
        return error
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return error
    for number in _OF_THE_MACHINE:
        words = os.strerror(number)
        # array_record's errors have words only.
        if isinstance(error, RuntimeError) and words in str(error):
            return OSError(number, words, str(path))
    # TFDS wraps what it meets.
    return None if error.__cause__ is None else _no_damage(error.__cause__, path)


def _names_module(features: pathlib.Path, name: str | None) -> bool:
    """Returns whether a file, which names the classes that read the data, names this module."""
    try:
        text = features.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return name is not None and re.search(f'"{re.escape(name)}[."]', text) is not None
