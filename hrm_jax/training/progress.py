"""What a run reports while it works."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

_log = logging.getLogger(__name__)

StepCallback = Callable[[int, Mapping[str, float]], None]
"""Called after every step with its number and the newest averages; empty between records."""


class Progress:
    """Writes reports to the log at level INFO; a subclass can show them in another way."""

    def preparing(self) -> AbstractContextManager[object]:
        """Returns a context that lasts while data are prepared."""
        return contextlib.nullcontext()

    def training(self, first_step: int, steps: int) -> AbstractContextManager[StepCallback]:
        """Returns a context that lasts while the loop runs and yields the loop's callback.

        Args:
          first_step: number of steps that were done before.
          steps: steps of the whole run.
        """
        del first_step

        def tell(step: int, averages: Mapping[str, float]) -> None:
            if averages:
                text = ", ".join(f"{name} {value:.4g}" for name, value in averages.items())
                _log.info("step %d/%d: %s", step, steps, text)

        return contextlib.nullcontext(tell)

    def stopped(self, message: str) -> None:
        """Reports that a run was stopped before its last step, and how to resume it."""
        _log.info(message)
