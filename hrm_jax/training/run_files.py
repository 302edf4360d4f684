"""Names of the files in a run's folder that others read, and their lines; imports no JAX.

What is in them is described by the modules that write them: `run_log`, `side_records`,
`process_record`.
"""

import json
from typing import Any

METRICS = "metrics.jsonl"
SIZE = "size.json"
TELEMETRY = "telemetry.jsonl"
PROBES = "probes.jsonl"
PROCESS = "process.json"


def parse_line(line: str | bytes) -> dict[str, Any] | None:
    """Returns the object of a line of a log, or None for a line that holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def parse_record(line: str) -> dict[str, Any] | None:
    """Returns the side record of a line, or None for a line that holds none."""
    record = parse_line(line)
    # Nothing but the step decides what a resumed run keeps.
    return record if record is not None and isinstance(record.get("step"), int) else None
