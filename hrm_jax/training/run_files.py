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


def parse_record(line: str) -> dict[str, Any] | None:
    """Returns the side record of a line, or None for a line that holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    # Nothing but the step decides what a resumed run keeps.
    is_record = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if is_record else None
