"""Which data a run learns from, so that a resumed run does not learn from others unnoticed.

data.json    for each time that a run began with other data: the steps done before, and the
             fingerprint of the data
"""

import json
from pathlib import Path
from typing import Any

from hrm_jax.core import files
from hrm_jax.core.errors import UserError

DATA = "data.json"


class DataChanged(UserError):
    """A run is about to go on with other data than it learned from."""


def check_unchanged(folder: Path, step: int, fingerprint: str) -> None:
    """Compares data with those of a run up to a step; a run that does not say passes.

    Args:
      folder: the run's.
      step: the one that it goes on from, which may be an older one than it came to.
      fingerprint: of the data that it is to go on with.

    Raises:
      DataChanged: they are others, or `data.json` cannot be read.
    """
    # Later entries are of steps that are about to be done again.
    learned = [entry for entry in _read(folder) if entry["step"] <= step]
    if learned and learned[-1]["fingerprint"] != fingerprint:
        raise DataChanged(
            f"the training data are not those that {folder} learned from: expected fingerprint"
            f" {learned[-1]['fingerprint'][:12]}, got {fingerprint[:12]}; bring the old data back,"
            " start anew with another --run, or add --accept_changed_data to go on with these"
        )


def record(folder: Path, step: int, fingerprint: str) -> None:
    """Writes down that a run learns from data, after so many steps; what came later is dropped."""
    # An entry of this very step goes too: what was learned from its data is not kept.
    learned = [entry for entry in _read(folder) if entry["step"] < step]
    if not learned or learned[-1]["fingerprint"] != fingerprint:
        learned.append({"step": step, "fingerprint": fingerprint})
    files.write_atomically(folder / DATA, json.dumps(learned, indent=2) + "\n")


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / DATA
    try:
        entries = files.read_json(path)
        return [{"step": int(e["step"]), "fingerprint": str(e["fingerprint"])} for e in entries]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise DataChanged(
            f"{path} cannot be read ({error}), so that the training data cannot be compared with"
            " those before; delete it to go on with these"
        ) from error
