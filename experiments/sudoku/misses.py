"""What a model does in the end with a puzzle that it misses."""

import numpy as np
from jaxtyping import Int

LAST = 32
"""Proposals at the end of which a miss is judged."""


def kind_of(tokens: Int[np.ndarray, "steps T"]) -> str:
    """Returns what the last proposals do: "still", "cycle" or "wander"."""
    last = tokens[-LAST:]
    if (last == last[-1]).all():
        return "still"
    # A period shows where the last proposals equal those of so many steps before.
    periods = range(2, min(2 * LAST, len(tokens) - LAST) + 1)
    repeats = any((last == tokens[-LAST - p : -p]).all() for p in periods)
    return "cycle" if repeats else "wander"
