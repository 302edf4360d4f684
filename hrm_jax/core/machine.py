"""What the machine gives to this process."""

import os


def cores() -> int:
    """Returns the number of cores that this process may use."""
    # Affinity, where the system has it, is what a container may really use.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
