"""The first_token suite: how long an editor waits after a change, and what reuse changes.

A prompt is a part of this project's source with a hole in its middle, or up to its end. In each
turn 20 tokens before the cursor are others, and it is read and timed until the first token after
it, in turns with a cold read. Where what stands behind a change is reused (`reuse_shifted`), what
then follows is compared with what follows a cold read, at several holes.
"""

import dataclasses
import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from experiments.benchmarks.alternate import ROOT, Spread
from experiments.common.terminal import Table
from hrm_jax.convert.language import load_language_model
from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.infilling import around_hole
from hrm_jax.inference.text.buckets import power_of_two
from hrm_jax.inference.text.reading import PromptReader
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.writing import Writer

_FILES = ("hrm_jax/inference/text/*.py", "hrm_jax/data/text/*.py")
"""What the text is made of."""
COLD = "cold"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      models: names or files.
      tokens: of a prompt.
      changed: tokens that are others in each turn.
      rounds: turns of each case.
      holes: at which what follows is compared.
      hole_tokens: of a prompt there.
      fill_tokens: compared at each.
    """

    models: Sequence[str]
    tokens: int = 2000
    changed: int = 20
    rounds: int = 3
    holes: int = 8
    hole_tokens: int = 1000
    fill_tokens: int = 24


@dataclasses.dataclass(frozen=True)
class Case:
    """What is read.

    Attributes:
      states: of the prompt, for each turn.
      known: whether the state before was read.
      reuse_shifted: as the reader takes it.
    """

    states: list[list[int]]
    known: bool = True
    reuse_shifted: bool = False


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures every model, prints a table of each, and returns all of it as JSON values."""
    results = []
    for name in options.models:
        loaded = load_language_model(name, dtype="auto")
        writer = Writer(loaded.model, loaded.variables, loaded.tokenizer, batch_size=1)
        with console.status(name) as status:
            seconds = take_turns(writer, options, status.update)
        rows = {case: _figures(own, seconds[COLD]) for case, own in seconds.items()}
        console.print(_table(name, options, rows))
        with console.status(f"{name}: comparing what follows"):
            deviation = compare(writer, options)
        console.print("reused behind a change:", deviation)
        results.append({"model": name, "cases": rows, "deviation": deviation})
    return {"options": dataclasses.asdict(options), "results": results}


def cases(tokenizer: Tokenizer, options: Options) -> dict[str, Case]:
    """Returns what is timed, by name: states for the turns that are timed, and two before."""
    text = _text(tokenizer)
    # From behind the prompt's text, so that no change puts there what stood there before.
    changes = _changes(text[options.tokens :], options.changed, options.rounds + 2)
    kept = text[: options.tokens - options.changed]
    whole = [[*kept, *change] for change in changes]
    found = {COLD: Case(whole, known=False), "end changed": Case(whole)}
    if tokenizer.infilling is not None:
        usual, suffix_first = (
            [
                _with_hole(tokenizer, text[: options.tokens], change, suffix_first=first)
                for change in changes
            ]
            for first in (False, True)
        )
        found["cursor changed"] = Case(usual)
        found["cursor changed, suffix first"] = Case(suffix_first)
        found["cursor changed, reuse_shifted"] = Case(usual, reuse_shifted=True)
    return found


def take_turns(writer: Writer, options: Options, report) -> dict[str, list[float]]:
    """Returns the seconds to the first token of each case, a turn after two that warm up."""
    asked = cases(writer.tokenizer, options)
    readers = {name: _reader(writer, case) for name, case in asked.items()}
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    # Of the two turns before, the first reads all and the second what has changed: both compile.
    for turn in range(-2, options.rounds):
        for name, case in asked.items():
            report(f"round {turn + 1} of {options.rounds}: {name}")
            if case.known:
                writer.reader = readers[name]
            elif turn >= 0:
                # What a cold read needs is compiled by then, but for chunks that all cases share.
                writer.reader = _reader(writer, case)
            else:
                continue
            taken = _first_token(writer, case.states[turn + 2])
            if turn >= 0:
                seconds[name].append(taken)
    return seconds


def compare(writer: Writer, options: Options) -> dict[str, float] | None:
    """Returns how far reuse is from a cold read, by what follows at several holes.

    Returns:
      Mean and median divergence of the first token in nats, and the shares of holes where the
      first token and the whole fill are the same; None for a model that knows no holes.
    """
    tokenizer = writer.tokenizer
    if tokenizer.infilling is None:
        return None
    text = _text(tokenizer)
    size = options.hole_tokens
    places = np.linspace(size // 2, len(text) - size, options.holes).astype(int)
    divergence = []
    same_token = []
    same_fill = []
    for place in map(int, places):
        part = text[place - size // 2 : place + size // 2]
        own = part[size // 2 - options.changed : size // 2]
        # Before the change other tokens of the same text stood there.
        other = text[place + size // 2 :][: options.changed]
        states = [
            _with_hole(tokenizer, part, change, suffix_first=False) for change in (other, own)
        ]
        # The state before the change is read, then the one after it, which reuses what it can.
        writer.reader = _reader(writer, Case(states, reuse_shifted=True))
        _first_token(writer, states[0])
        reused, reused_fill = _follow(writer, states[1], options.fill_tokens)
        writer.reader = _reader(writer, Case(states))
        cold, cold_fill = _follow(writer, states[1], options.fill_tokens)
        # Kullback-Leibler divergence of the reused distribution from the cold one.
        divergence.append((np.exp(cold) * (cold - reused)).sum())
        same_token.append(cold.argmax() == reused.argmax())
        same_fill.append(cold_fill == reused_fill)
    return {
        "holes": len(places),
        "mean_divergence": float(np.mean(divergence)),
        "median_divergence": float(np.median(divergence)),
        "same_token": float(np.mean(same_token)),
        "same_fill": float(np.mean(same_fill)),
    }


def _reader(writer: Writer, case: Case) -> PromptReader:
    return PromptReader(
        writer.model,
        writer.variables,
        prompts_are_prefixes=False,
        reuse_shifted=case.reuse_shifted,
    )


def _first_token(writer: Writer, tokens: list[int]) -> float:
    """Returns the seconds until a prompt's first token."""
    begin = time.perf_counter()
    next(writer.stream(_asked(tokens, 1)))
    return time.perf_counter() - begin


def _follow(writer: Writer, tokens: list[int], count: int) -> tuple[np.ndarray, str]:
    """Returns the log-probabilities of the token after a prompt, and the text that follows it."""
    # In the room that the writer gives it, so that it is read once.
    logits, _ = writer.reader.read(tokens, power_of_two(len(tokens) + count))
    wide = np.asarray(logits[0], np.float64)
    shifted = wide - wide.max()
    fill = "".join(piece.text for piece in writer.stream(_asked(tokens, count)))
    return shifted - np.log(np.exp(shifted).sum()), fill


def _asked(tokens: list[int], most: int) -> Request:
    prompt = Prompt("", tokens=tuple(tokens), ends_at_token=True)
    return Request(prompt, max_tokens=most)


def _text(tokenizer: Tokenizer) -> list[int]:
    files = itertools.chain.from_iterable(sorted(ROOT.glob(pattern)) for pattern in _FILES)
    return tokenizer.encode("\n".join(file.read_text() for file in files))


def _changes(text: list[int], size: int, count: int) -> list[list[int]]:
    """Returns so many different runs of tokens of a text, for the place before a cursor."""
    return [text[i * size : (i + 1) * size] for i in range(count)]


def _with_hole(
    tokenizer: Tokenizer, text: list[int], change: list[int], *, suffix_first: bool
) -> list[int]:
    """Returns the prompt for a hole in the middle of a text, with a change right before it.

    The change takes the place of as many tokens, and as many behind it are left out.
    """
    assert tokenizer.infilling is not None
    # For the time it takes, it does not matter whether the model was trained on this order.
    marks = dataclasses.replace(tokenizer.infilling, both_orders=True)
    middle = len(text) // 2
    prefix = [*text[: middle - len(change)], *change]
    parts = around_hole(prefix, text[middle + len(change) :], marks, suffix_first=suffix_first)
    return list(itertools.chain(*parts))


def _table(name: str, options: Options, rows: dict[str, Any]) -> Table:
    table = Table(title=f"{name}: first token after a change, {options.tokens} tokens")
    for column in ("read", "seconds", "of cold"):
        table.add_column(column, justify="left" if column == "read" else "right")
    form = "{median:.3f} ({low:.3f}-{high:.3f})"
    for case, row in rows.items():
        table.add_row(case, form.format(**row["seconds"]), form.format(**row["of_cold"]))
    return table


def _figures(own: Sequence[float], cold: Sequence[float]) -> dict[str, Any]:
    shares = [mine / other for mine, other in zip(own, cold, strict=True)]
    return {
        "seconds": dataclasses.asdict(Spread.of(own)),
        "of_cold": dataclasses.asdict(Spread.of(shares)),
    }
