"""The serve_speed suite: our server and llama.cpp's, with one file, under the same clients.

Both run at once, on all cores, and are asked in turns: all clients stream texts of their own, one
after another, as fast as they get them. Each turn has prompts of its own, cut from this project's
code, so that nothing is read from a cache of prompts. Further turns tell how long a short prompt
waits for its first token while all rows but one write.

llama.cpp's server is a program (`llama-server`), built for this machine; without it ours is
measured alone.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import random
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import httpx
from rich.console import Console

from experiments.benchmarks import alternate
from experiments.benchmarks.serving import LoadError, serve_command, started, stream
from experiments.common.terminal import Table
from hrm_jax.convert.language import locate

_T = TypeVar("_T")
OURS = "hrm_jax"
LLAMA = "llama.cpp"
# About what a token of code has; prompts are cut by characters, as both servers read text.
_CHARACTERS_OF_TOKEN = 3
_SHORT_PROMPT = 40
_START_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      model: a name or a GGUF file.
      clients: numbers of clients, each on its own.
      rows: texts that a server writes at once.
      context: tokens of a text.
      prompt_tokens: about that many are read of each text.
      tokens: written of each text.
      texts: of each client in a turn.
      rounds: turns of each server.
      settle_seconds: for which the others write before short prompts come.
      llama_server: the program, or None.
    """

    model: str
    clients: Sequence[int] = (8, 32)
    rows: int = 8
    context: int = 1024
    prompt_tokens: int = 200
    tokens: int = 64
    texts: int = 1
    rounds: int = 3
    settle_seconds: float = 5.0
    llama_server: str | None = None


@dataclasses.dataclass(frozen=True)
class Turn:
    """What one server did in a turn.

    Attributes:
      tokens: written.
      seconds: until the last text was whole.
      first_seconds: until the first token of each text.
    """

    tokens: int
    seconds: float
    first_seconds: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures the servers, prints a table, and returns the figures as JSON values.

    Raises:
      LoadError: a server did not start, or a request failed.
    """
    with contextlib.ExitStack() as stack:
        begin = time.perf_counter()
        # All clients may wait, so that no request is refused.
        command = serve_command(options.model, rows=options.rows, most_waiting=max(options.clients))
        ours = started([*command, f"--context={options.context}"])
        _, url = stack.enter_context(ours)
        start_seconds = {OURS: time.perf_counter() - begin}
        urls = {OURS: url}
        if options.llama_server is None:
            console.print(f"left out: {LLAMA}; --llama_server=PATH names its server", markup=False)
        else:
            begin = time.perf_counter()
            urls[LLAMA] = stack.enter_context(_llama_started(options))
            start_seconds[LLAMA] = time.perf_counter() - begin
        with console.status("the servers are ready") as status:
            turns = {
                count: _in_turns(options, urls, count, place, status.update)
                for place, count in enumerate(options.clients)
            }
            status.update("short prompts beside other texts")
            waits = _joining(options, urls)
    results = {
        "start_seconds": {name: round(seconds, 2) for name, seconds in start_seconds.items()},
        "clients": {count: _figures(found) for count, found in turns.items()},
        "first_token_beside_others_seconds": waits,
    }
    console.print(_table(options, results))
    return results


def _in_turns(
    options: Options,
    urls: dict[str, str],
    count: int,
    place: int,
    report: Callable[[str], None],
) -> dict[str, list[Turn]]:
    """Lets the servers take turns, after one that does not count.

    Args:
      options: of the suite.
      urls: of the servers.
      count: number of clients.
      place: of that number among those of the options.
      report: is told what is under way.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in urls}
    for turn in range(options.rounds + 1):
        for name, url in urls.items():
            report(f"{count} clients: turn {turn} of {options.rounds}, {name}")
            # Both servers are asked for the same; another number of clients for other texts, which
            # would be in the servers' caches.
            seed = place * (options.rounds + 1) + turn
            prompts = _prompts(options, count * options.texts, seed=f"turn {seed}")
            found = _asked(name, _turn(options, url, prompts, count))
            if turn:
                turns[name].append(found)
    return turns


def _asked(name: str, asking: Coroutine[Any, Any, _T]) -> _T:
    """Returns what comes of asking a server; raises LoadError where a request fails."""
    try:
        return asyncio.run(asking)
    except httpx.HTTPError as error:
        raise LoadError(f"{name}'s server failed: {error or type(error).__name__}") from error


async def _turn(options: Options, url: str, prompts: list[str], clients: int) -> Turn:
    """Has clients ask for the texts of all prompts."""
    # One iterator for all: whoever is done takes the next prompt.
    left = iter(prompts)
    first_seconds: list[float] = []
    written = 0
    async with _client(url) as client:

        async def ask() -> None:
            nonlocal written
            for prompt in left:
                first, tokens = await _ask(client, prompt, options.tokens)
                first_seconds.append(first)
                written += tokens

        begin = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(clients)))
        seconds = time.perf_counter() - begin
    return Turn(written, seconds, tuple(first_seconds))


def _joining(options: Options, urls: dict[str, str]) -> dict[str, float]:
    """Returns the median time to the first token of short prompts while other rows write."""
    waits: dict[str, list[float]] = {name: [] for name in urls}
    for turn in range(options.rounds):
        for name, url in urls.items():
            waits[name] += _asked(name, _waits(options, url, turn))
    return {name: round(statistics.median(found), 3) for name, found in waits.items()}


async def _waits(options: Options, url: str, turn: int) -> list[float]:
    async with _client(url) as client:
        # Other seeds than those of the turns. The others' texts are so long that they are still
        # written when the short prompts come.
        prompts = _prompts(options, options.rows - 1, seed=f"beside {turn}")
        tokens = options.context - 2 * options.prompt_tokens
        others = [asyncio.create_task(_ask(client, text, tokens)) for text in prompts]
        await asyncio.sleep(options.settle_seconds)  # their prompts are read
        short = [text[:_SHORT_PROMPT] for text in _prompts(options, 5, seed=f"short {turn}")]
        found = [(await _ask(client, prompt, 1))[0] for prompt in short]
        # Closes their streams, so that the next server has the cores to itself.
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    return found


def _client(url: str) -> httpx.AsyncClient:
    # A connection for each request: a server may close one that has been idle just as it is used.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=url, timeout=600, limits=limits)


async def _ask(client: httpx.AsyncClient, prompt: str, tokens: int) -> tuple[float, int]:
    """Returns the seconds until the first part of a text, and how many tokens it has."""
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0}
    begin = time.perf_counter()
    first = None
    written = 0
    async with contextlib.aclosing(stream(client, body)) as parts:
        async for _, usage in parts:
            first = first or time.perf_counter() - begin
            written = usage or written
    return first or time.perf_counter() - begin, written


def _prompts(options: Options, count: int, seed: str) -> list[str]:
    """Returns beginnings of code, each from a random line of this project's."""
    draw = random.Random(seed)
    texts = [path.read_text() for path in sorted((alternate.ROOT / "hrm_jax").rglob("*.py"))]
    length = options.prompt_tokens * _CHARACTERS_OF_TOKEN
    texts = [text for text in texts if len(text) > 2 * length]
    prompts = []
    for number in range(count):
        # From a line's begin, and far enough from the file's end for a whole prompt. Files repeat
        # each other, and two draws may be of one line: the number tells prompts apart from their
        # first token on, so that none is in a server's cache.
        text = draw.choice(texts)
        first = text.index("\n", draw.randrange(len(text) - 2 * length)) + 1
        prompts.append(f"# {seed}, {number}\n{text[first : first + length]}"[:length])
    return prompts


@contextlib.contextmanager
def _llama_started(options: Options) -> Iterator[str]:
    """Starts llama.cpp's server; yields its URL when it is ready, then ends it."""
    assert options.llama_server is not None
    with socket.socket() as free:
        # The system names a free port; the server takes it when this socket is closed.
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = locate(options.model)
    # llama.cpp divides its context among its rows.
    context = options.rows * options.context
    command = [options.llama_server, "-m", str(file), "--port", str(port)]
    command += ["-np", str(options.rows), "-c", str(context), "-t", str(os.cpu_count())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    """Returns when a server answers; raises LoadError if it ends or does not."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health").status_code == 200:
                return
        time.sleep(0.05)
    raise LoadError(f"{LLAMA}'s server did not start: {process.args}")


def _figures(turns: dict[str, list[Turn]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, found in turns.items():
        firsts = [second for turn in found for second in turn.first_seconds]
        figures[name] = {
            "tokens_per_second": [round(turn.rate, 1) for turn in found],
            "first_token_seconds_median": round(statistics.median(firsts), 3),
        }
    if LLAMA in turns:
        # Turn by turn, as the machine's speed drifts.
        pairs = zip(turns[OURS], turns[LLAMA], strict=True)
        figures["ratio"] = round(
            statistics.median(ours.rate / llama.rate for ours, llama in pairs), 2
        )
    return figures


def _table(options: Options, results: dict[str, Any]) -> Table:
    name = pathlib.PurePath(options.model).name
    table = Table(title=f"{name}, {options.rows} rows, {options.tokens} tokens after each prompt")
    for column in ("clients", "server", "tokens/s", "first token s"):
        table.add_column(column, justify="right")
    for count, figures in results["clients"].items():
        for server in (OURS, LLAMA):
            if server in figures:
                speed = statistics.median(figures[server]["tokens_per_second"])
                first = figures[server]["first_token_seconds_median"]
                table.add_row(str(count), server, f"{speed:.1f}", f"{first:.2f}")
    for server, seconds in results["first_token_beside_others_seconds"].items():
        table.add_row("beside others", server, "", f"{seconds:.3f}")
    return table
