"""The serve_load suite: a server under many clients, some of which go, and some of which err.

Every text is first asked for alone. Then clients ask for them at random, as streams, for minutes:
some close the connection within a text, others send bodies that are wrong. Each whole text has to
be what it was alone, each wrong body is to be answered by 4xx, and in the end no row is held. The
server's memory is told after a tenth of the time and at the end.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import random
import time
from typing import Any

import httpx
import numpy as np
from rich.console import Console

from experiments.benchmarks.serving import (
    SETTLE_SECONDS,
    LoadError,
    serve_command,
    started,
    stream,
)
from experiments.common.terminal import Table

_PROMPTS = (
    "def fibonacci(n):\n",
    "class Stack:\n    def __init__(self):\n",
    "# Reads a file of numbers and returns their mean.\n",
    "import json\n\n\ndef load(path):\n",
    "SELECT name FROM users WHERE",
    "The capital of France is",
)
_WRONG = (
    (b"{", 400),
    (b"[]", 400),
    (b'{"prompt": 1}', 400),
    (b'{"prompt": "x", "max_tokens": 1000000}', 400),
    (b'{"prompt": "x", "temperature": "hot"}', 400),
    (b'{"messages": []}', 400),
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      model: a name or a path.
      clients: that ask at a time.
      minutes: for which they do.
      rows: texts that the server writes at once.
      tokens: of a text at most.
      seed: of what the clients do.
      flags: further ones of the server.
    """

    model: str
    clients: int = 32
    minutes: float = 10.0
    rows: int = 8
    tokens: int = 48
    seed: int = 0
    flags: tuple[str, ...] = ()


@dataclasses.dataclass
class Tally:
    """What came of the requests.

    Attributes:
      whole: texts that came to their end.
      wrong: of these, others than alone.
      left: texts that the client did not wait for.
      refused: requests that were told to come again.
      malformed: wrong bodies.
      misjudged: of these, those that were not answered as they should be.
      failed: requests that failed in any other way.
      tokens: of the whole texts.
      first_seconds: until the first part of each text.
    """

    whole: int = 0
    wrong: int = 0
    left: int = 0
    refused: int = 0
    malformed: int = 0
    misjudged: int = 0
    failed: int = 0
    tokens: int = 0
    first_seconds: list[float] = dataclasses.field(default_factory=list)


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures a server, prints a table, and returns the figures as JSON values.

    Raises:
      LoadError: the server did not start, or rows are held when nobody asks any more.
    """
    command = serve_command(options.model, rows=options.rows, most_waiting=options.clients)
    with started([*command, *options.flags]) as (process, url):
        tally, memory = asyncio.run(_load(options, url, process.pid))
    figures = _figures(tally, memory, options)
    table = Table(title=f"{options.clients} clients, {options.minutes:g} minutes, {options.model}")
    table.add_column("what")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:g}")
    console.print(table)
    return figures


def is_right(figures: dict[str, Any]) -> bool:
    """Returns whether nothing came that should not."""
    return not (figures["wrong"] or figures["misjudged"] or figures["failed"])


def _figures(tally: Tally, memory: list[int], options: Options) -> dict[str, Any]:
    counts = dataclasses.asdict(tally)
    first = np.array(counts.pop("first_seconds"))
    median, high = np.percentile(first, (50, 99)) if first.size else (np.nan, np.nan)
    return {
        **counts,
        "tokens_per_second": round(tally.tokens / (60 * options.minutes), 1),
        "first_token_seconds_median": round(float(median), 3),
        "first_token_seconds_p99": round(float(high), 3),
        "memory_mb_begin": memory[0] >> 20,
        "memory_mb_end": memory[-1] >> 20,
    }


async def _load(options: Options, url: str, pid: int) -> tuple[Tally, list[int]]:
    # httpx would let 100 ask at a time, and keep the others waiting on this side.
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        bodies = [_body(prompt, options) for prompt in _PROMPTS]
        # One after the other: what each text is when nothing else is written. Without a temperature
        # the likeliest tokens are taken, so it has to stay the same.
        alone = [[part async for part in stream(client, body)] for body in bodies]
        texts = ["".join(text for text, _ in parts) for parts in alone]
        tally = Tally()
        memory = [_resident_bytes(pid)]
        deadline = time.monotonic() + 60 * options.minutes

        async def watch() -> None:
            # Memory is compared with that after a tenth of the time, when all shapes were met.
            await asyncio.sleep(6 * options.minutes)
            memory[0] = _resident_bytes(pid)

        clients = [
            # Each draws for itself, so what it does is independent of how fast others are answered.
            _client(client, random.Random(f"{options.seed} {n}"), bodies, texts, deadline, tally)
            for n in range(options.clients)
        ]
        await asyncio.gather(watch(), *clients)
        # Texts that were left have to give their rows back before memory is looked at.
        await _at_rest(client)
        memory.append(_resident_bytes(pid))
    return tally, memory


def _body(prompt: str, options: Options) -> dict[str, Any]:
    return {"prompt": prompt, "max_tokens": options.tokens}


async def _client(
    client: httpx.AsyncClient,
    draw: random.Random,
    bodies: list[dict[str, Any]],
    texts: list[str],
    deadline: float,
    tally: Tally,
) -> None:
    """Asks again and again until the time is over."""
    while time.monotonic() < deadline:
        kind = draw.choices(("whole", "left", "wrong"), (80, 15, 5))[0]
        try:
            if kind == "wrong":
                await _err(client, draw, tally)
            else:
                number = draw.randrange(len(bodies))
                leave_after = draw.randrange(8) if kind == "left" else None
                await _ask(client, bodies[number], texts[number], leave_after, tally)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 429:
                tally.failed += 1
                continue
            tally.refused += 1
            # Spread over the time that the server asks for: all at once they would be refused
            # again.
            await asyncio.sleep(float(error.response.headers["retry-after"]) * draw.random())
        except httpx.HTTPError:
            tally.failed += 1


async def _ask(
    client: httpx.AsyncClient,
    body: dict[str, Any],
    expected: str,
    leave_after: int | None,
    tally: Tally,
) -> None:
    """Asks for a text; leaves it after some parts, if told so."""
    begin = time.monotonic()
    text = ""
    count = 0
    tokens = 0
    # Leaving closes the connection at once; a generator's own end would come when it is collected.
    async with contextlib.aclosing(stream(client, body)) as parts:
        async for part, usage in parts:
            if not count:
                tally.first_seconds.append(time.monotonic() - begin)
            count += 1
            text += part
            # Only the last part tells how many tokens there were.
            tokens = usage or tokens
            if leave_after is not None and count > leave_after:
                tally.left += 1
                return
    tally.whole += 1
    tally.wrong += text != expected
    tally.tokens += tokens


async def _err(client: httpx.AsyncClient, draw: random.Random, tally: Tally) -> None:
    content, status = draw.choice(_WRONG)
    path = "/v1/chat/completions" if b"messages" in content else "/v1/completions"
    headers = {"Content-Type": "application/json"}
    found = await client.post(path, content=content, headers=headers)
    tally.malformed += 1
    tally.misjudged += found.status_code != status


async def _at_rest(client: httpx.AsyncClient) -> None:
    """Waits until no row is held; raises LoadError if one stays so."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        metrics = (await client.get("/metrics")).text
        if "hrm_texts_written 0.0" in metrics and "hrm_texts_waiting 0.0" in metrics:
            return
        await asyncio.sleep(0.2)
    raise LoadError(f"rows are held although nobody asks:\n{metrics}")


def _resident_bytes(pid: int) -> int:
    """Returns the memory of a process; 0 where the system does not tell."""
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGESIZE")
