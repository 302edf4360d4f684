"""Writes code, and any other text: `--mode=generate` of `experiments.codegen`."""

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Iterator

from absl import app, flags
from rich.console import Console

from experiments.codegen import writer
from experiments.common import process
from hrm_jax.core.types import Prompt
from hrm_jax.inference.text.prompts import PromptError
from hrm_jax.inference.text.writing import Piece, Request

FLAGS = flags.FLAGS
HOLE = "<FILL>"
STANDARD_INPUT = "-"

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
    "stop", [], r"text that ends a completion, \n for a line's end. May be given again"
)
flags.DEFINE_bool("json", False, "print an object a line: prompt, suffix, seed, completion, ending")


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
        _print_all(pieces, requests, console)
    Console(stderr=True, quiet=console.quiet).print(str(tally), style="dim", soft_wrap=True)
    return 0


def read_prompts() -> list[Prompt]:
    """Returns the prompts of all flags, in their order, those of `--prompt` first.

    Raises:
      PromptError: a file does not hold prompts, or a text has several holes.
      OSError: a file cannot be read.
    """
    prompts = [_with_hole(text) for text in FLAGS.prompt or []]
    for name in FLAGS.prompt_file or []:
        prompts += _read_file(name)
    if not prompts:
        raise app.UsageError("--mode=generate needs --prompt or --prompt_file", exitcode=2)
    if FLAGS.suffix is not None:
        if len(prompts) > 1 or prompts[0].suffix is not None:
            raise PromptError("--suffix: expected with a single prompt that has no hole of its own")
        prompts = [dataclasses.replace(prompts[0], suffix=FLAGS.suffix)]
    return prompts


def _read_file(name: str) -> list[Prompt]:
    if name == STANDARD_INPUT:
        return [_with_hole(sys.stdin.read())]
    text = pathlib.Path(name).read_text(encoding="utf-8")
    if not name.endswith(".jsonl"):
        return [_with_hole(text)]
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [_from_json(line, f"{name}, line {number}") for number, line in lines]


def _from_json(line: str, place: str) -> Prompt:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise PromptError(f"{place}: expected a JSON object, got {error}") from error
    known = isinstance(found, dict) and found.keys() <= {"prompt", "suffix"}
    prefix, suffix = (found.get("prompt"), found.get("suffix")) if known else (None, None)
    if not isinstance(prefix, str) or not isinstance(suffix, str | None):
        raise PromptError(
            f"{place}: expected an object with the text `prompt`, and `suffix` or not, got {line!r}"
        )
    return Prompt(prefix, suffix)


def _with_hole(text: str) -> Prompt:
    """Returns a text as a prompt, split where its hole is.

    Raises:
      PromptError: it has several holes.
    """
    # With one mark `suffixes` has one element, without any none, and the suffix is None.
    prefix, *suffixes = text.split(HOLE)
    if len(suffixes) > 1:
        raise PromptError(f"expected one {HOLE} in a prompt, got {len(suffixes)}; fill one by one")
    return Prompt(prefix, *suffixes)


def _requests(prompts: list[Prompt]) -> list[Request]:
    sampling = writer.sampling()
    stop = tuple(text.replace(r"\n", "\n") for text in FLAGS.stop)
    return [
        Request(prompt, FLAGS.seed + sample, stop, FLAGS.max_tokens, sampling)
        for prompt in prompts
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


def _print_all(pieces: Iterator[Piece], requests: list[Request], console: Console) -> None:
    """Prints all texts in their order, when they are done."""
    texts = [""] * len(requests)
    endings = [""] * len(requests)
    # Pieces of different requests are interleaved, as a batch writes several at once.
    for piece in pieces:
        texts[piece.request] += piece.text
        endings[piece.request] = piece.ending or ""
    for request, text, ending in zip(requests, texts, endings, strict=True):
        prompt = request.prompt
        if FLAGS.json:
            found = {"prompt": prompt.prefix, "suffix": prompt.suffix, "seed": request.seed}
            _print(console, json.dumps({**found, "completion": text, "ending": ending}) + "\n")
        else:
            console.rule(f"seed {request.seed}: {prompt.prefix[-40:]!r}", align="left")
            _print(console, text + "\n")
