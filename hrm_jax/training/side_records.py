"""Records that a run keeps beside its metrics: one JSON object a line, in files of their own.

    telemetry.jsonl    how training goes: `hrm_jax.training.telemetry`
    probes.jsonl       answers to the same few questions at every evaluation; `kind` says of what:
                       "sudoku", `hrm_jax.tasks.sudoku.probes`; "text", `hrm_jax.tasks.code.probes`

Every record says `version` and `step`. Metrics are equal to the bit in a resumed run; what is here
may depend on the machine. So a damaged line is left out and not refused.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from hrm_jax.core import files
from hrm_jax.training.run_files import parse_record

VERSION = 1
"""Of both formats: raised where a field changes its meaning, not where one is added."""


class SideRecords:
    """Writes one file of records; a context manager. Only process 0 writes."""

    def __init__(self, folder: Path, name: str, *, resume_step: int):
        """Opens the file, and drops what an earlier process wrote of later steps.

        Args:
          folder: an existing folder.
          name: of the file.
          resume_step: the last step that is kept; -1 keeps none.
        """
        self._file = None
        if jax.process_index() != 0:
            return
        path = folder / name
        kept = [record for record in read_records(path) if record["step"] <= resume_step]
        # Rewritten, not only appended to: a half-written line would join the next one.
        files.write_atomically(path, "".join(map(_to_line, kept)))
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (__exit__ closes it)

    def __enter__(self) -> "SideRecords":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, step: int, fields: Mapping[str, Any]) -> None:
        """Writes a record, which has reached the operating system when this returns."""
        if self._file is not None:
            self._file.write(_to_line({"version": VERSION, "step": step, **fields}))
            self._file.flush()


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the records of a file, without lines that are damaged; none if there is no file."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    records = (parse_record(line) for line in lines)
    return [record for record in records if record is not None]


def _to_line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"
