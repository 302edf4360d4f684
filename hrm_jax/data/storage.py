"""The folder for prepared data, and TFDS without its messages."""

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging

DATA_DIR_VARIABLE = "HRM_JAX_DATA"
"""Environment variable with the folder for prepared data."""


def default_data_dir() -> pathlib.Path:
    """Returns the folder named by `HRM_JAX_DATA`, or `~/.cache/hrm_jax`."""
    return pathlib.Path(os.environ.get(DATA_DIR_VARIABLE) or "~/.cache/hrm_jax").expanduser()


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS from printing messages and bars; the caller shows that it works."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()
