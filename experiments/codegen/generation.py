"""Writes code, and any other text: `--mode=generate` of `experiments.codegen`."""

import ast
import dataclasses
import json
import pathlib
import re
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from absl import app, flags
from rich.console import Console

from experiments.codegen import writer
from experiments.common import process
from hrm_jax.core import files
from hrm_jax.core.types import Prompt
from hrm_jax.inference.text.prompts import PromptError
from hrm_jax.inference.text.writing import Piece, Request

FLAGS = flags.FLAGS
HOLE = "<FILL>"
STANDARD_INPUT = "-"
_OWN_FIELDS = ("prompt", "suffix", "seed", "completion", "ending")
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|[abfnrtv\\'\"])"
)
"""An escape sequence of Python's texts."""

flags.DEFINE_multi_string(
    "prompt", None, f"text to go on from; {HOLE} in it marks a hole to fill. May be given again"
)
flags.DEFINE_multi_string(
    "prompt_file",
    None,
    "file with a prompt, - for standard input; *.jsonl holds many, an object with prompt and, for "
    "a hole, suffix in each line. May be given again",
)
flags.DEFINE_string("suffix", None, "text after the hole, for a single prompt without a mark")
flags.DEFINE_multi_string(
    "stop",
    [],
    r"text that ends a completion, with Python's escapes, such as \n. May be given again",
)
flags.DEFINE_bool(
    "json",
    False,
    "print an object a line: prompt, suffix, seed, completion, ending, and what else a line had",
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """A prompt, and the other fields of its line in a file, which go into the line of output.

    Attributes:
      prompt: what to go on from.
      others: an identifier, a task's name, and whatever else stood beside the prompt.
    """

    prompt: Prompt
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Tally:
    """Counts the tokens written, and the time.

    Attributes:
      first_seconds: until the first piece: reading the prompt, and compiling.
      seconds: from there on.
      tokens: in later pieces.
    """

    first_seconds: float = 0.0
    seconds: float = 0.0
    tokens: int = 0

    def over(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Yields the pieces unchanged, counting them."""
        begin = time.perf_counter()
        for piece in pieces:
            now = time.perf_counter() - begin
            # The first piece is left out of the rate: it includes compilation and the prompt.
            if not self.first_seconds:
                self.first_seconds = now
            else:
                self.tokens += piece.tokens
                self.seconds = now - self.first_seconds
            yield piece

    def __str__(self) -> str:
        text = f"first token after {self.first_seconds:.2f} s"
        if self.tokens:
            rate = self.tokens / max(self.seconds, 1e-9)
            text += f", then {self.tokens} tokens in {self.seconds:.2f} s, {rate:.1f} tokens/s"
        return text


def run(console: Console) -> int:
    """Writes what the flags ask for: a single text while it is written, several when they are done.

    Texts go to the console, figures to standard error; returns the exit code.

    Raises:
      PromptError: a prompt cannot be completed, or there is none.
      ConfigError, WeightsError, OSError, ValueError: as `writer.load_writer`; OSError and
        PromptError also for a prompt's file.
    """
    prompts = read_prompts()
    requests = _requests(prompts)
    process.keep_compiled()
    model = writer.load_writer()
    tally = Tally()
    pieces = tally.over(model.write(requests))
    if len(requests) == 1 and not FLAGS.json:
        _stream(pieces, requests[0], console)
    else:
        # One request for each sample of each prompt, in this order.
        others = [one.others for one in prompts for _ in range(FLAGS.samples)]
        _print_all(pieces, requests, others, console)
    Console(stderr=True, quiet=console.quiet).print(str(tally), style="dim", soft_wrap=True)
    return 0


def read_prompts() -> list[Asked]:
    """Returns the prompts of all flags, in their order, those of `--prompt` first.

    Raises:
      PromptError: a file does not hold prompts, or a text has several holes.
      TextError: a file is in another encoding than UTF-8.
      OSError: a file cannot be read.
    """
    prompts = [_with_hole(text) for text in FLAGS.prompt or []]
    for name in FLAGS.prompt_file or []:
        prompts += _read_file(name)
    if not prompts:
        raise app.UsageError("--mode=generate needs --prompt or --prompt_file", exitcode=2)
    if FLAGS.suffix is not None:
        if len(prompts) > 1 or prompts[0].prompt.suffix is not None:
            raise PromptError("--suffix: expected with a single prompt that has no hole of its own")
        prompt = dataclasses.replace(prompts[0].prompt, suffix=FLAGS.suffix)
        prompts = [dataclasses.replace(prompts[0], prompt=prompt)]
    return prompts


def _read_file(name: str) -> list[Asked]:
    if name == STANDARD_INPUT:
        return [_with_hole(files.decode_text(sys.stdin.buffer.read(), "standard input"))]
    text = files.read_text(pathlib.Path(name))
    if not name.endswith(".jsonl"):
        return [_with_hole(text)]
    # Not `splitlines`: JSON's texts may hold U+2028 and U+0085, which it takes for line ends.
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [_from_json(line, f"{name}, line {number}") for number, line in lines]


def _from_json(line: str, place: str) -> Asked:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise PromptError(f"{place}: expected a JSON object, got {error}") from error
    fields = found if isinstance(found, dict) else {}
    prefix = fields.get("prompt")
    suffix = fields.get("suffix")
    if not isinstance(prefix, str) or not isinstance(suffix, str | None):
        raise PromptError(
            f"{place}: expected an object with the text `prompt`, and `suffix` or not, got {line!r}"
        )
    others = {name: value for name, value in fields.items() if name not in _OWN_FIELDS}
    return Asked(Prompt(prefix, suffix), others)


def _with_hole(text: str) -> Asked:
    """Returns a text as a prompt, split where its hole is.

    Raises:
      PromptError: it has several holes.
    """
    # With one mark `suffixes` has one element, without any none, and the suffix is None.
    prefix, *suffixes = text.split(HOLE)
    if len(suffixes) > 1:
        raise PromptError(f"expected one {HOLE} in a prompt, got {len(suffixes)}; fill one by one")
    return Asked(Prompt(prefix, *suffixes))


def unescape(text: str) -> str:
    """Returns a text with Python's escapes, such as `\\n` and `\\u2028`, read."""
    return _ESCAPE.sub(lambda match: ast.literal_eval(f"'{match[0]}'"), text)


def _requests(asked: list[Asked]) -> list[Request]:
    sampling = writer.sampling()
    stop = tuple(map(unescape, FLAGS.stop))
    return [
        Request(one.prompt, FLAGS.seed + sample, stop, FLAGS.max_tokens, sampling)
        for one in asked
        for sample in range(FLAGS.samples)
    ]


def _stream(pieces: Iterator[Piece], request: Request, console: Console) -> None:
    """Prints one text while it is written; on a terminal with the prompt around it."""
    around = request.prompt if console.is_terminal else Prompt("")
    _print(console, around.prefix, style="dim")
    for piece in pieces:
        _print(console, piece.text)
    _print(console, (around.suffix or "") + "\n", style="dim")


def _print(console: Console, text: str, style: str | None = None) -> None:
    """Prints text as it is; on a terminal without control characters."""
    if console.is_terminal:
        console.out(text, end="", style=style, highlight=False)
    else:
        console.file.write(text)
        console.file.flush()


def _print_all(
    pieces: Iterator[Piece],
    requests: list[Request],
    others: list[Mapping[str, Any]],
    console: Console,
) -> None:
    """Prints all texts in their order, when they are done."""
    texts = [""] * len(requests)
    endings = [""] * len(requests)
    # Pieces of different requests are interleaved, as a batch writes several at once.
    for piece in pieces:
        texts[piece.request] += piece.text
        endings[piece.request] = piece.ending or ""
    for request, other, text, ending in zip(requests, others, texts, endings, strict=True):
        prompt = request.prompt
        if FLAGS.json:
            found = {**other, "prompt": prompt.prefix, "suffix": prompt.suffix}
            found |= {"seed": request.seed, "completion": text, "ending": ending}
            _print(console, json.dumps(found) + "\n")
        else:
            console.rule(f"seed {request.seed}: {prompt.prefix[-40:]!r}", align="left")
            _print(console, text + "\n")
