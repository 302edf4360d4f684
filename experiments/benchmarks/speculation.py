"""The speculation suite: what proposing tokens that a text repeats gains, and costs elsewhere.

One model writes with and without, in this process, in turns: edits, where it is given a file of
this project and asked for the file with a change, and HumanEval's problems, where little is
repeated. A figure is the median over the rounds; reading the prompt is not counted.
"""

import dataclasses
import functools
import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console

from experiments.benchmarks.alternate import ROOT, cells, rates
from experiments.benchmarks.turns import Turn, speeds, take_turns
from experiments.common.terminal import Table
from hrm_jax.convert.language import LoadedLanguageModel, load_language_model
from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.suites.humaneval import STOP, load_humaneval
from hrm_jax.inference.text.requests import Piece, Request
from hrm_jax.inference.text.writing import Writer

_EDITS = (
    ("hrm_jax/inference/text/buckets.py", "Rename the function `bucket` to `round_up`."),
    ("hrm_jax/data/text/infilling.py", "Rename the parameter `marks` to `special_tokens`."),
    ("experiments/benchmarks/worker.py", "Replace `json` by `orjson`, and add missing type hints."),
    ("hrm_jax/core/correctness.py", "Add an example to the docstring of every function."),
)
"""Files of the project, and what is asked of them."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      models: names or files.
      proposed: tokens proposed at most, by contestant; all are compared with the first.
      tokens: that a text has at most.
      problems: of HumanEval, spread over it.
      rounds: turns of each contestant.
    """

    models: Sequence[str]
    proposed: Sequence[int] = (0, 7)
    tokens: int = 256
    problems: int = 8
    rounds: int = 3


class Streams(Protocol):
    """What writes a text: a `Writer`."""

    def stream(self, request: Request) -> Iterator[Piece]:
        """Yields the pieces of a text."""
        ...


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures every model, prints a table of each, and returns all of it as JSON values.

    Raises:
      SuiteError: HumanEval's problems are not installed.
    """
    results = []
    for name in options.models:
        loaded = load_language_model(name, dtype="auto")
        # All share one set of weights, and differ by what they propose alone.
        writers = {
            proposed: Writer(
                loaded.model, loaded.variables, loaded.tokenizer, speculate=proposed, batch_size=1
            )
            for proposed in options.proposed
        }
        table = Table(title=f"{name}: tokens/s, one text at a time")
        for column in ("texts", "proposed", "tokens/s", "speed", "texts that differ"):
            table.add_column(column, justify="left" if column == "texts" else "right")
        for kind, requests in workloads(loaded, options).items():
            with console.status(f"{name}: {kind}"):
                contestants = {
                    proposed: functools.partial(turn_of, writer, requests)
                    for proposed, writer in writers.items()
                }
                turns = take_turns(contestants, options.rounds)
            rows = _rows(kind, turns)
            results += [{"model": name, **row} for row in rows]
            for row in rows:
                differ = f"{row['texts_that_differ']} of {row['texts']}"
                table.add_row(kind, str(row["proposed"]), *cells(row), differ)
        console.print(table)
    return {"options": dataclasses.asdict(options), "results": results}


def workloads(loaded: LoadedLanguageModel, options: Options) -> dict[str, list[Request]]:
    """Returns the requests of each kind: edits, in the form of chat if the model has one."""
    edits = []
    for file, wish in _EDITS:
        code = f"```python\n{(ROOT / file).read_text()}```"
        text = f"{wish} Answer with the whole file.\n\n{code}\n"
        if loaded.chat_template is None:
            # A model that only goes on with texts is shown the file, the wish, and the answer's
            # beginning.
            prompt = Prompt(f"{code}\n\n{wish}\n\n```python\n")
        else:
            prompt = loaded.conversation([{"role": "user", "content": text}])
        edits.append(Request(prompt, max_tokens=options.tokens))
    problems = load_humaneval().take(options.problems).problems
    shared = {"stop": STOP, "max_tokens": options.tokens}
    return {
        "edits": edits,
        "HumanEval": [Request(problem.prompt, **shared) for problem in problems],
    }


def turn_of(writer: Streams, requests: Sequence[Request]) -> Turn:
    """Returns the texts of a writer, one after the other; tokens are all but each text's first."""
    texts = []
    tokens = 0
    seconds = 0.0
    for request in requests:
        pieces = writer.stream(request)
        # The first piece comes when the prompt is read, which is not counted; nor are its tokens.
        text = next(pieces).text
        begin = time.perf_counter()
        for piece in pieces:
            text += piece.text
            tokens += piece.tokens
        seconds += time.perf_counter() - begin
        texts.append(text)
    return Turn(texts, tokens, seconds)


def _rows(kind: str, turns: Mapping[int, Sequence[Turn]]) -> list[dict[str, Any]]:
    figures = rates(speeds(turns))
    first = next(iter(turns.values()))[0].texts
    return [
        {
            "kind": kind,
            "proposed": proposed,
            "texts": len(first),
            # The first turn of each is enough: the same request gives the same text again.
            "texts_that_differ": sum(map(operator.ne, own[0].texts, first)),
            **figures[str(proposed)],
        }
        for proposed, own in turns.items()
    ]
