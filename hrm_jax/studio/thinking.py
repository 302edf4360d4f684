"""Asks a model in a process of its own, which stays for the next question.

The process is `python -m MODULE --checkpoint=FOLDER` or `--model=NAME`. It reads a JSON object a
line, the question, and answers in lines, of which the last has `done`: first as it solves a puzzle
or writes a text, then `{"done": true, ...}` or `{"done": true, "error": MESSAGE}`. What questions
and answers hold is between the page and the module: `experiments.sudoku.thinker`,
`experiments.codegen.author`.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from hrm_jax.core.errors import UserError

_LINE_BYTES = 1 << 20
_IDLE_SECONDS = 600.0


class ThinkingError(UserError, RuntimeError):
    """The process of the model ended without an answer."""


class Thinker:
    """One process at a time, for the model that was asked last."""

    def __init__(self):
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._leaving: list[asyncio.subprocess.Process] = []
        self._command: tuple[str, ...] = ()
        self._idle: asyncio.TimerHandle | None = None

    async def ask(
        self, module: str, flags: Sequence[str], question: Mapping[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yields what the process answers.

        Args:
          module: what answers.
          flags: which model; none for the one that the module takes by itself.
          question: as the module reads it.

        Raises:
          ThinkingError: the process ended; the message is the last that it said.
        """
        async with self._lock:
            command = (module, *flags)
            process = await self._running(command)
            done = False
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps(question).encode() + b"\n")
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
        process = self._process
        self._process = None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            self._leaving = [one for one in (*self._leaving, process) if one.returncode is None]
            with contextlib.suppress(ProcessLookupError):
                # It leads its session: what it started, such as a sandbox, ends with it.
                os.killpg(process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Ends the process, and waits until it is gone."""
        self.end()
        for process in self._leaving:
            await process.wait()

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
    return (errors or said or ["the process of the model ended without a word"])[-1]
