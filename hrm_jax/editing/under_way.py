"""Knows what the server is being asked, and stops what nobody waits for any more."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hrm_jax.editing.suggesting import Gap

T = TypeVar("T")


class UnderWay:
    """The requests for suggestions that are being answered.

    Somebody is in one gap of one document: a request for another stops those before it.
    """

    def __init__(self) -> None:
        self._gaps: dict[asyncio.Task[Any], Gap] = {}

    async def run(self, gap: Gap, work: Coroutine[Any, Any, T]) -> T | None:
        """Returns what work for a gap returns, or None where it was stopped.

        Cancelling the task that waits here stops the work too.
        """
        self._stop(lambda other: other != gap)
        task = asyncio.ensure_future(work)
        self._gaps[task] = gap
        task.add_done_callback(self._gaps.pop)
        try:
            return await task
        except asyncio.CancelledError:
            # Either the work was stopped, or whoever waits for it: only the latter's cancelling
            # goes on.
            waiting = asyncio.current_task()
            if waiting is not None and waiting.cancelling():
                raise
            return None

    def stop(self, uri: str) -> None:
        """Stops all work for a document."""
        self._stop(lambda gap: gap.uri == uri)

    def stop_all(self) -> None:
        """Stops all work."""
        self._stop(lambda _: True)

    def _stop(self, is_meant: Callable[[Gap], bool]) -> None:
        for task, gap in list(self._gaps.items()):
            if is_meant(gap):
                task.cancel()
