"""Stops a run between two steps instead of in the middle of one."""

import signal
import threading
from types import FrameType
from typing import Any


class GracefulStop:
    """A context in which SIGINT and SIGTERM only ask the training loop to stop.

        with GracefulStop() as stop:
            while step < steps and not stop.requested:
                ...
        # save and leave

    A second SIGINT raises KeyboardInterrupt. Leaving the context restores the previous handlers.
    Outside the main thread, where Python allows no handlers, nothing is changed or requested.

    Attributes:
        requested: whether a signal has arrived.
        signal_name: the first signal's name, such as "SIGTERM", or None.
    """

    def __init__(self):
        self.requested = False
        self.signal_name: str | None = None
        self._interrupts = 0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "GracefulStop":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python, and cannot be from here.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._interrupts += number == signal.SIGINT
        if number == signal.SIGINT and self._interrupts > 1:
            raise KeyboardInterrupt
        self.requested = True
        self.signal_name = self.signal_name or signal.Signals(number).name
