"""Writes code, and any other text: `--mode=generate` of `experiments.codegen`."""

import ast
import dataclasses
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console

from experiments.codegen import prompts, verifying, writer
from experiments.common import language_model, process
from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.prompts import PromptError
from hrm_jax.inference.text.requests import Piece, Request
from hrm_jax.inference.text.writing import Writer

FLAGS = flags.FLAGS
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|[abfnrtv\\'\"])"
)
"""An escape sequence of Python's texts."""
_WRITTEN = ("prompt", "suffix", "seed", "completion", "ending")
"""Fields of a line of output; what else the prompt's line had comes before them."""
_SUFFIX_READ = "suffix_read"
"""A field more where there is a hole: whether the model read what is behind it."""
_LEFT_OUT = "left_out"
"""A field more where there is a constraint: bytes after the last complete statement."""

flags.DEFINE_multi_string(
    "stop",
    [],
    r"text that ends a completion, with Python's escapes, such as \n. May be given again",
)
flags.DEFINE_bool("one_line", False, "end with the first line that is written")
flags.DEFINE_bool(
    "json",
    False,
    f"print an object a line: {', '.join(_WRITTEN)}, and what else a line had; "
    "suffix_read says of a hole whether the model read what is behind it, left_out of a text by "
    "syntax that --max_tokens ended how many bytes after its last complete statement are left out. "
    f"With tests or --agree there are {', '.join(verifying.FIELDS)} instead of ending",
)


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

    Texts go to the console, figures to standard error. Returns the exit code: 1 where tests were
    asked for and a text did not pass them.

    Raises:
      PromptError, ChatError: a prompt cannot be completed, or there is none.
      CheckError, SandboxUnavailable, PackageMissing: tests cannot be run.
      ConstraintError: what the texts have to be is not understood, or not possible.
      ConfigError, WeightsError, OSError, ValueError: as `language_model.load_model`; OSError and
        PromptError also for a prompt's file.
    """
    asked = prompts.read_prompts()
    if FLAGS.json:
        _check_others(asked)
    # Tests are read and the sandbox is found before the model is loaded, too.
    verifier = verifying.Verifier(asked) if verifying.is_wanted() else None
    # Before a model is loaded: a schema may be refused.
    writer.constraint()
    process.keep_compiled()
    loaded = language_model.load_model()
    model = writer.make_writer(loaded)
    # Prompts of conversations need the model's template, so they are made only now.
    requests = _requests([one.prompt(loaded) for one in asked])
    # Standard output is the text alone, so that it can go into a file or a pipe.
    errors = Console(stderr=True, quiet=console.quiet)
    if not model.fills_holes and any(one.prompt.suffix is not None for one in requests):
        errors.print(
            "the model was not trained to fill holes: it goes on from the text before, without "
            "reading the text behind",
            style="yellow",
            soft_wrap=True,
        )
    if verifier is not None:
        return _verify(verifier, asked, requests, loaded, model, console, errors)
    tally = Tally()
    pieces = tally.over(_saying(errors, model.write(requests)))
    if len(requests) == 1 and not FLAGS.json:
        _stream(pieces, requests[0], console)
    else:
        # One request for each sample of each prompt, in this order.
        others = [one.others for one in asked for _ in range(FLAGS.samples)]
        _print_all(pieces, requests, others, console, suffix_read=model.fills_holes)
    errors.print(str(tally), style="dim", soft_wrap=True)
    return 0


def _verify(
    verifier: verifying.Verifier,
    asked: Sequence[prompts.Asked],
    requests: Sequence[Request],
    loaded: LoadedLanguageModel,
    model: Writer,
    console: Console,
    errors: Console,
) -> int:
    """Prints what was chosen for each prompt, and to standard error what is known of it."""
    all_verified = True
    for number, (one, request) in enumerate(zip(asked, requests, strict=True)):
        chosen = verifier.write(number, one, request, loaded, model, errors)
        all_verified &= chosen.verified
        prompt = request.prompt
        # As JSON the prompt is a field; otherwise a terminal shows it around the text.
        if FLAGS.json:
            written = {"prompt": prompt.prefix, "suffix": prompt.suffix, "seed": request.seed}
            written["completion"] = chosen.text
            _print(console, json.dumps({**one.others, **written, **chosen.fields}) + "\n")
            continue
        if len(requests) > 1:
            console.rule(f"prompt {number + 1}: {prompt.prefix[-40:]!r}", align="left")
        shown = console.is_terminal and not FLAGS.chat
        _print(console, prompt.prefix if shown else "", style="dim")
        _print(console, chosen.text)
        _print(console, (prompt.suffix or "" if shown else "") + "\n", style="dim")
        errors.print(chosen.told, style="green" if chosen.verified else "yellow", soft_wrap=True)
    # Agreement verifies nothing, so it cannot fail either.
    return 0 if all_verified or FLAGS.agree else 1


def _check_others(asked: list[prompts.Asked]) -> None:
    """Refuses fields beside a prompt that the output has for itself: one of the two would be lost.

    Raises:
      PromptError: there is one.
    """
    for number, one in enumerate(asked, 1):
        own = (*_WRITTEN, _SUFFIX_READ, _LEFT_OUT)
        # Where no tests are asked for, a prompt may have fields of these names.
        own += verifying.FIELDS if verifying.is_wanted() else ()
        taken = [name for name in own if name in one.others]
        if taken:
            raise PromptError(
                f"prompt {number}: expected other fields than {', '.join(_WRITTEN)}, which --json "
                f"writes itself, got {', '.join(taken)}; rename them"
            )


def unescape(text: str) -> str:
    """Returns a text with Python's escapes, such as `\\n` and `\\u2028`, read."""
    # Escapes one by one: the codec `unicode_escape` would read all other text as Latin-1.
    return _ESCAPE.sub(lambda match: ast.literal_eval(f"'{match[0]}'"), text)


def _requests(asked: list[Prompt]) -> list[Request]:
    sampling = writer.sampling()
    stop = tuple(map(unescape, FLAGS.stop))
    # One object for all requests, as making one reads files. In a chat the answer is a program of
    # its own; otherwise the prompt is the first part of it.
    constraint = writer.constraint(after_prompt=not FLAGS.chat)
    return [
        Request(
            prompt,
            FLAGS.seed + sample,
            stop,
            FLAGS.max_tokens,
            sampling,
            one_line=FLAGS.one_line,
            constraint=constraint,
        )
        for prompt in asked
        for sample in range(FLAGS.samples)
    ]


def _saying(errors: Console, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yields the pieces unchanged, and says where a text was cut back to a complete statement."""
    for piece in pieces:
        if piece.left_out:
            errors.print(
                f"text {piece.request + 1} ends at its last complete statement: the "
                f"{piece.left_out} bytes after it are left out; raise --max_tokens",
                style="yellow",
                soft_wrap=True,
            )
        yield piece


def _stream(pieces: Iterator[Piece], request: Request, console: Console) -> None:
    """Prints one text while it is written; on a terminal with the prompt around it."""
    # What a chat template writes around the turns is of no interest to who reads the answer.
    shown = console.is_terminal and not FLAGS.chat
    around = request.prompt if shown else Prompt("")
    _print(console, around.prefix, style="dim")
    for piece in pieces:
        _print(console, piece.text)
    _print(console, (around.suffix or "") + "\n", style="dim")


def _print(console: Console, text: str, style: str | None = None) -> None:
    """Prints text as it is; on a terminal without control characters."""
    if console.is_terminal:
        # `out` neither wraps nor reads markup: what looks like it is part of the code.
        console.out(text, end="", style=style, highlight=False)
    else:
        console.file.write(text)
        console.file.flush()


def _print_all(
    pieces: Iterator[Piece],
    requests: list[Request],
    others: list[Mapping[str, Any]],
    console: Console,
    *,
    suffix_read: bool,
) -> None:
    """Prints all texts in their order, when they are done."""
    texts = [""] * len(requests)
    endings = [""] * len(requests)
    left_out = [0] * len(requests)
    # Pieces of different requests are interleaved, as a batch writes several at once.
    for piece in pieces:
        texts[piece.request] += piece.text
        # None but for the last piece of a text.
        endings[piece.request] = piece.ending or ""
        left_out[piece.request] += piece.left_out
    ended = zip(requests, others, texts, endings, left_out, strict=True)
    for request, other, text, ending, missing in ended:
        prompt = request.prompt
        if FLAGS.json:
            values = (prompt.prefix, prompt.suffix, request.seed, text, ending)
            found = {**other, **dict(zip(_WRITTEN, values, strict=True))}
            if prompt.suffix is not None:
                found[_SUFFIX_READ] = suffix_read
            if request.constraint is not None:
                found[_LEFT_OUT] = missing
            _print(console, json.dumps(found) + "\n")
        else:
            console.rule(f"seed {request.seed}: {prompt.prefix[-40:]!r}", align="left")
            _print(console, text + "\n")
