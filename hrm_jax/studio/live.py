"""Tells open pages what changes, as server-sent events."""

import asyncio
import contextlib
import json
import logging
import shutil
from collections.abc import AsyncIterator
from typing import Any

import psutil

from hrm_jax.core.errors import UserError
from hrm_jax.studio.folders import Runs, reason_of
from hrm_jax.studio.jobs import Jobs
from hrm_jax.studio.watching import Watching

_LOG = logging.getLogger(__name__)
TICK_SECONDS = 0.5
_UNWATCHED_TICKS = 4
"""Without a page only the queue is served, in one tick of so many."""
_SYSTEM_TICKS = 4
_MOST_EVENTS = 1000
"""That wait for one page. One that has not read so many, on a machine that sleeps, is sent away;
when it comes again, it is told of all runs."""


class Live:
    """Polls all runs and the queue twice a second, and tells pages what has changed."""

    def __init__(self, runs: Runs, watching: Watching, jobs: Jobs):
        self._runs = runs
        self._watching = watching
        self._jobs = jobs
        self._listeners: set[asyncio.Queue[str | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._advancing: asyncio.Task[None] | None = None
        self._known: dict[str, dict[str, Any]] = {}
        self._system: dict[str, Any] = {}
        self.lock = asyncio.Lock()
        """Held while `watching` is used."""
        self.looked_at = asyncio.Event()
        """Set as soon as there was a page."""

    async def look_on(self) -> None:
        """Looks, until it is cancelled."""
        tick = 0
        self._loop = asyncio.get_running_loop()
        while True:
            tick += 1
            if self._listeners or tick % _UNWATCHED_TICKS == 0:
                try:
                    await self.look(tells_system=tick % _SYSTEM_TICKS == 0)
                except (OSError, UserError) as error:
                    # A full disk or a folder that is gone: the page says so, and it goes on.
                    self._tell("trouble", {"message": reason_of(error)})
                except Exception:
                    _LOG.exception("the runs could not be looked at")
            await asyncio.sleep(TICK_SECONDS)

    async def look(self, *, tells_system: bool = False) -> None:
        """Looks once, and tells what has changed."""
        async with self.lock:
            found = await asyncio.to_thread(self._watching.summaries)
        waiting = await asyncio.to_thread(self._jobs.queue)
        found |= {name: _waiting(name) for name in waiting if name and name not in found}
        changed = {name: run for name, run in found.items() if self._known.get(name) != run}
        gone = [name for name in self._known if name not in found]
        self._known = found
        if changed or gone:
            self._tell("runs", {"runs": changed, "gone": gone})
        if tells_system and self._listeners:
            self._system = await asyncio.to_thread(self._load)
            self._tell("system", self._system)
        # Runs of other machines, and copies of their folders, keep nobody waiting.
        is_busy = any(run["is_here"] and not run["read_only"] for run in found.values())
        is_advancing = self._advancing is not None and not self._advancing.done()
        if waiting and not is_busy and not is_advancing:
            # Beside what is told to pages: before a first run starts, its experiment is imported.
            self._advancing = asyncio.create_task(self._advance())

    async def _advance(self) -> None:
        try:
            found = await asyncio.to_thread(self._jobs.advance)
            for why in found.dropped:
                self._tell("trouble", {"message": why})
        except (OSError, UserError) as error:
            self._tell("trouble", {"message": reason_of(error)})

    async def events(self) -> AsyncIterator[str]:
        """Yields events for one page, of which the first tells of all runs."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners.add(queue)
        self.looked_at.set()
        trouble = ""
        try:
            try:
                await self.look()
            except (OSError, UserError) as error:
                # The page is drawn all the same, and says what is wrong.
                trouble = reason_of(error)
            yield _event("all", {"runs": self._known, "system": self._system})
            if trouble:
                yield _event("trouble", {"message": trouble})
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), timeout=15)
                except TimeoutError:
                    event = ": here\n\n"  # so that a page that is gone is noticed
                if event is None:
                    return
                yield event
        finally:
            self._listeners.discard(queue)

    def end(self) -> None:
        """Ends what is told to pages, so that the server can; from any thread or signal."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._put, None)

    def _tell(self, kind: str, value: Any) -> None:
        self._put(_event(kind, value))

    def _put(self, event: str | None) -> None:
        for queue in self._listeners:
            if queue.qsize() >= _MOST_EVENTS:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def _load(self) -> dict[str, Any]:
        memory = psutil.virtual_memory()
        found = {
            "processor_percent": psutil.cpu_percent(),
            "memory_used_bytes": memory.total - memory.available,
            "memory_bytes": memory.total,
        }
        with contextlib.suppress(OSError):
            existing = next(p for p in (self._runs.root, *self._runs.root.parents) if p.exists())
            found["disk_free_bytes"] = shutil.disk_usage(existing).free
        return found


def _waiting(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "state": "queued",
        "is_here": False,
        "message": "waits until no other run is trained",
        "experiment": "",
        "description": "",
        "step": 0,
        "steps": None,
        "updated": None,
        "trouble": "",
        "latest": {},
        "probed_bytes": 0,
        "seed": None,
        "parameters": None,
        "tags": [],
        "checkpoint": "",
        "read_only": False,
    }


def _event(kind: str, value: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n"
