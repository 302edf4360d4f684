"""What programs that compare runs share: checks of folders, and means with ranges."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from hrm_jax.core import config
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import write_atomically

_COMMAND = "command.json"


class OtherCommand(UserError, ValueError):
    """A folder holds a run that was trained with another command."""


def train_in_process(program: str, options: list[str], preset: Any, folder: pathlib.Path) -> None:
    """Trains a run in `folder` unless it has its report; an interrupted run is resumed.

    Args:
      program: the experiment's module.
      options: its flags, all but `--run` and `--resume`.
      preset: see `check_command`.
      folder: of the run.

    Raises:
      OtherCommand: the folder holds a run that was trained otherwise, or something else.
      subprocess.CalledProcessError: training failed, and has said why.
    """
    check_command(folder, options, preset)
    if (folder / "report.json").exists():
        return
    # A process of its own: XLA's memory and absl's flags end with it.
    command = [sys.executable, "-m", program, *options, f"--run={folder}"]
    # config.json is written when training starts, so its presence tells an interrupted run.
    if (folder / "config.json").exists():
        command.append("--resume")
    subprocess.run(command, check=True)


def check_command(folder: pathlib.Path, options: list[str], preset: Any) -> None:
    """Records the command of a new run, or checks that an old one's is the same.

    Args:
      folder: of the run, made if absent.
      options: flags of its command.
      preset: the config they change; its values are recorded, as the code may change them later.

    Raises:
      OtherCommand: the folder holds a run of another command, or something else.
    """
    # Compared as text below: read again, tuples would be lists, and differ.
    text = json.dumps({"options": options, "preset": config.to_dict(preset)}, indent=2) + "\n"
    path = folder / _COMMAND
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Without a record of its command nobody can say what a folder holds.
        if any(folder.iterdir()):
            raise OtherCommand(
                f"{folder} holds what no comparison made; move it, or name another --folder"
            )
        write_atomically(path, text)
    elif path.read_text(encoding="utf-8") != text:
        raise OtherCommand(
            f"{folder} holds a run with other flags, or of a preset with other values; name another"
            " --folder"
        )


def spread(values: Sequence[float], *, share: bool) -> str:
    """Returns mean and range of values: as shares in percent, or with three decimals."""
    mean = sum(values) / len(values)
    form = "{:.1%}" if share else "{:.3f}"
    low, high = (form.format(limit(values)) for limit in (min, max))
    return f"{form.format(mean)} ({low} to {high})"
