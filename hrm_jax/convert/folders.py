"""Folders that are replaced as a whole: a kill at any moment leaves the old or the new one."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.files import sync_folder


@contextlib.contextmanager
def replacing_folder(
    folder: str | os.PathLike[str], is_ours: Callable[[str], bool]
) -> Iterator[Path]:
    """Yields an empty folder to write into, which replaces `folder` when the block ends.

    If the block fails, `folder` stays as it was. Only a kill between the last two renames can
    leave neither; `<folder>.replaced` then holds the model that was there before.

    Args:
      folder: made if absent; replaced if it is a model folder already.
      is_ours: whether a file of this name is one that a save writes.

    Raises:
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    folder = Path(folder).absolute()
    if foreign := _foreign(folder, is_ours):
        raise WeightsError(
            f"expected {folder} to be absent or a model folder, found {foreign}; choose another"
        )
    saving, replaced = (folder.with_name(folder.name + end) for end in (".saving", ".replaced"))
    shutil.rmtree(saving, ignore_errors=True)  # what a killed save has left behind
    saving.mkdir(parents=True)
    yield saving
    # Renaming onto a folder that is not empty fails, so the old one is moved aside first and
    # removed last.
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(folder, replaced)
    os.rename(saving, folder)
    sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _foreign(folder: Path, is_ours: Callable[[str], bool]) -> str | None:
    """Returns the name of the first file in `folder` that a save does not write, or None."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        return "a file"
    others = sorted(path.name for path in folder.iterdir() if not is_ours(path.name))
    return others[0] if others else None
