"""Lets a model solve puzzles in a process of its own, which stays for the next puzzle.

The process is `python -m THINKER --checkpoint=FOLDER`. It reads a JSON object a line, `{"puzzle":
TEXT}`, and answers in lines, the last of which has `done`: `{"step": ..., ...}` for each step of
thought as it is taken, then `{"done": true, ...}` or `{"done": true, "error": MESSAGE}`.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import sys
from collections.abc import AsyncIterator
from typing import Any

from hrm_jax.core.errors import UserError

_LINE_BYTES = 1 << 20
_IDLE_SECONDS = 600.0


class ThinkingError(UserError, RuntimeError):
    """The process that solves ended without an answer."""


class Thinker:
    """One process at a time, for the model that was asked last."""

    def __init__(self):
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._command: tuple[str, ...] = ()
        self._idle: asyncio.TimerHandle | None = None

    async def solve(
        self, module: str, checkpoint: pathlib.Path | None, puzzle: str
    ) -> AsyncIterator[dict[str, Any]]:
        """Yields what the process answers; see the module.

        Args:
          module: the thinker.
          checkpoint: of the model; None for the one that comes with the package.
          puzzle: as it was typed.

        Raises:
          ThinkingError: the process ended; the message is the last that it said.
        """
        async with self._lock:
            command = (module, *([f"--checkpoint={checkpoint}"] if checkpoint else []))
            process = await self._running(command)
            done = False
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps({"puzzle": puzzle}).encode() + b"\n")
                await process.stdin.drain()
                while not done:
                    line = await process.stdout.readline()
                    if not line:
                        raise ThinkingError(await _last_words(process))
                    answer = json.loads(line)
                    done = bool(answer.get("done"))
                    yield answer
            except ConnectionError as error:
                raise ThinkingError(await _last_words(process)) from error
            finally:
                # Whoever asked is gone in the middle of an answer: the next must not get the rest.
                if done:
                    loop = asyncio.get_running_loop()
                    self._idle = loop.call_later(_IDLE_SECONDS, self.end)
                else:
                    self.end()

    def end(self) -> None:
        """Ends the process."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        self._process = None

    async def _running(self, command: tuple[str, ...]) -> asyncio.subprocess.Process:
        if self._idle is not None:
            self._idle.cancel()
        process = self._process
        if process is None or process.returncode is not None or self._command != command:
            self.end()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_BYTES,
                env=os.environ | {"COLUMNS": "200"},
                start_new_session=True,
            )
            self._process = process
            self._command = command
        return process


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = (await process.stderr.read()).decode("utf-8", "replace").strip().splitlines()
    errors = [line for line in said if line.startswith("error:")]
    return (errors or said or ["the process that solves ended without a word"])[-1]
