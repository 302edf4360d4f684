"""The syntax suite: what it costs to write nothing but Python (`PythonSyntax`).

One model writes HumanEval's problems freely and as programs alone, in this process, in turns, one
text at a time and several together. What is counted is what a user waits for: all tokens of the
texts, those that were taken back left out, over the whole time. Prompts are known from the turn
that warms up, as far as they are kept (`PromptReader`).
"""

import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console

from experiments.benchmarks.alternate import cells, rates
from experiments.benchmarks.turns import Turn, speeds, take_turns
from experiments.common.terminal import Table
from hrm_jax.convert.language import load_language_model
from hrm_jax.data.text.well_formed import parses
from hrm_jax.evaluation.suites.humaneval import load_humaneval
from hrm_jax.evaluation.suites.problems import Suite
from hrm_jax.inference.text.python_syntax import PythonSyntax
from hrm_jax.inference.text.requests import Piece, Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer

CONSTRAINTS = {"free": None, "Python": PythonSyntax()}
"""The contestants, by name; the others are compared with the first."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      models: names or files.
      rows: numbers of texts written together.
      tokens: that a text has at most.
      temperature: at which they are drawn; likely tokens alone are rarely refused.
      problems: of HumanEval, spread over it.
      rounds: turns of each contestant.
    """

    models: Sequence[str]
    rows: Sequence[int] = (1, 8)
    tokens: int = 96
    temperature: float = 0.8
    problems: int = 16
    rounds: int = 3


class Writes(Protocol):
    """What writes texts: a `Writer`."""

    def write(self, requests: Sequence[Request]) -> Iterator[Piece]:
        """Yields the pieces of all texts."""
        ...


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures every model, prints a table of each, and returns all of it as JSON values.

    Raises:
      SuiteError: HumanEval's problems are not installed.
    """
    suite = load_humaneval().take(options.problems)
    results = []
    for name in options.models:
        loaded = load_language_model(name, dtype="auto")
        table = Table(title=f"{name}: tokens/s of HumanEval, temperature {options.temperature}")
        for column in ("texts at once", "written", "tokens/s", "speed", "parse"):
            table.add_column(column, justify="left" if column == "written" else "right")
        for count in options.rows:
            writer = Writer(loaded.model, loaded.variables, loaded.tokenizer, batch_size=count)
            with console.status(f"{name}: {count} at once"):
                contestants = {
                    written: functools.partial(turn_of, writer, requests)
                    for written, requests in requests_of(suite, options).items()
                }
                turns = take_turns(contestants, options.rounds)
            rows = figures(suite, turns)
            results += [{"model": name, "rows": count, **row} for row in rows]
            for row in rows:
                parsing = f"{row['texts_that_parse']} of {row['texts']}"
                table.add_row(str(count), row["written"], *cells(row), parsing)
        console.print(table)
    return {"options": dataclasses.asdict(options), "results": results}


def requests_of(suite: Suite, options: Options) -> dict[str, list[Request]]:
    """Returns the requests of each contestant, which differ by their constraint alone."""
    sampling = SamplingConfig(options.temperature)
    return {
        name: [
            Request(problem.prompt, seed, suite.stop, options.tokens, sampling, constraint=one)
            # A seed for each problem, the same for all contestants: where nothing is refused texts
            # are equal.
            for seed, problem in enumerate(suite.problems)
        ]
        for name, one in CONSTRAINTS.items()
    }


def turn_of(writer: Writes, requests: Sequence[Request]) -> Turn:
    """Returns the texts of a writer, which it writes together, and all of their tokens."""
    texts = [""] * len(requests)
    tokens = 0
    # With the prompts, and with what is written and taken back: all that a user waits for.
    begin = time.perf_counter()
    for piece in writer.write(requests):
        texts[piece.request] += piece.text
        tokens += piece.tokens
    return Turn(texts, tokens, time.perf_counter() - begin)


def figures(suite: Suite, turns: Mapping[str, Sequence[Turn]]) -> list[dict[str, Any]]:
    """Returns a row for each contestant, as JSON values."""
    rows = []
    for name, figure in rates(speeds(turns)).items():
        texts = turns[name][0].texts
        # A text goes on from its problem, so only both together are a program.
        programs = map(str.__add__, (problem.before for problem in suite.problems), texts)
        parsing = sum(map(parses, programs))
        rows.append({"written": name, "texts": len(texts), "texts_that_parse": parsing, **figure})
    return rows
