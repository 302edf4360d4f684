"""Traces as one self-contained HTML page with a slider over the steps."""

import importlib.resources
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from experiments.rendering.trace import Trace
from hrm_jax.data.sudoku.boards import format_grid

_TEMPLATE = importlib.resources.files("experiments.rendering") / "page.html"
_PLACEHOLDER = "{{payload}}"
_DECIMALS = 3


def to_html(traces: Sequence[Trace]) -> str:
    """Returns the page: `page.html` with the traces as JSON in a script element.

    The element's type is JSON, so no browser runs its content.
    """
    # NaN is no JSON, and a browser's parser would refuse the page; a trace has none.
    payload = json.dumps({"puzzles": [_as_json(trace) for trace in traces]}, allow_nan=False)
    # Inside a script element only `<` could end it; JSON may write any character as an escape.
    inert = payload.replace("<", "\\u003c")
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACEHOLDER, inert)


def _as_json(trace: Trace) -> dict[str, Any]:
    """Returns what the page shows of a trace; cells count from 0, steps from 1."""
    return {
        "title": trace.title,
        "box": [trace.board.box_rows, trace.board.box_columns],
        "givens": format_grid(trace.givens, trace.board),
        "halt": trace.halt,
        "solved": trace.solved,
        "confidence": np.round(trace.halt_confidence.astype(float), _DECIMALS).tolist(),
        "steps": [
            {
                "digits": format_grid(trace.digits[step], trace.board),
                "confidence": np.round(
                    trace.cell_confidence[step].astype(float), _DECIMALS
                ).tolist(),
                "conflicts": _cells(trace.conflicts[step]),
                "changed": _cells(trace.changed[step]),
            }
            for step in range(trace.steps)
        ],
    }


def _cells(marked: Bool[np.ndarray, " T"]) -> list[int]:
    return np.flatnonzero(marked).tolist()
