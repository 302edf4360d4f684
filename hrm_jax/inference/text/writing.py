"""Writes texts with a model: prompts in, text out, as it comes or all at once.

Texts share a batch of rows; when one ends, the next prompt takes its row.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from hrm_jax.core.config import check
from hrm_jax.core.protocols import LanguageModel, Tokenizer
from hrm_jax.core.types import Prompt, Variables
from hrm_jax.data.text.holes import Hole
from hrm_jax.data.text.infilling import end_tokens
from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text import speculation
from hrm_jax.inference.text.buckets import power_of_two
from hrm_jax.inference.text.constraints import Constraint, ConstraintError, Guard
from hrm_jax.inference.text.healing import Healed, Owed, Vocabulary, debt
from hrm_jax.inference.text.prompts import PromptTooLong, encode_prompt
from hrm_jax.inference.text.reading import KNOWN_BYTES, PromptReader, is_exact
from hrm_jax.inference.text.sampling import Draws, SamplingConfig
from hrm_jax.inference.text.transcripts import Filling, Transcript

GREEDY = SamplingConfig()
_BLOCK_SECONDS = 0.05
"""Intended time between two fetches: text appears at least so often if a token takes less, and the
host's share of the time stays small."""

_LEAST_ROOM = 128

Ending = Literal["end", "stop", "filled", "length"]
"""Why a text is over: an ending token, a stop sequence, the far edge of a hole, or the limit of its
length."""


@dataclasses.dataclass(frozen=True)
class Request:
    """One text to write.

    Attributes:
      prompt: the text that it continues.
      seed: seed of its draws.
      stop: texts that end it; they are left out.
      max_tokens: largest number of tokens.
      sampling: how its tokens are drawn.
      one_line: whether a single line is asked for.
      one_block: whether it ends where the function or class does that it begins in.
      constraint: what it has to be, such as a program; None for any text.
    """

    prompt: Prompt
    seed: int = 0
    stop: tuple[str, ...] = ()
    max_tokens: int = 256
    sampling: SamplingConfig = GREEDY
    one_line: bool = False
    one_block: bool = False
    constraint: Constraint | None = None


class Piece(NamedTuple):
    """New text of one request.

    Attributes:
      request: number of the request.
      text: the new text; empty while a character or a stop sequence may be incomplete.
      tokens: number of tokens it took.
      ending: why the text is over; None if it is not.
      left_out: number of bytes that were written after the last complete statement, and are left
        out of a text that its length has ended; 0 without a constraint.
    """

    request: int
    text: str
    tokens: int
    ending: Ending | None
    left_out: int = 0


@dataclasses.dataclass(frozen=True)
class _Job:
    """A request that is being written."""

    number: int
    request: Request
    prompt: Healed
    left: int
    transcript: Transcript
    filling: Filling | None
    end_tokens: tuple[int, ...]
    guard: Guard | None

    @property
    def length(self) -> int:
        """Largest number of tokens, the prompt's and those taken back from it included."""
        return len(self.prompt.tokens) + self.prompt.taken + self.left

    def add(self, tokens: list[int], *, over: bool) -> Piece:
        """Returns the piece that tokens add; `over` means that the device has ended the text."""
        if self.guard is not None:
            return self._add_guarded(self.guard, tokens, over=over)
        text = self.transcript.add(tokens)
        ending: Ending | None = None
        if over:
            text += self.transcript.finish()
            ending = "end" if tokens[-1] in self.end_tokens else "length"
        if self.transcript.stopped:
            ending = "stop"
        if self.filling is not None:
            cut = ending == "length"
            text = self.filling.add(text, ended=ending is not None and not cut, cut=cut)
            if self.filling.over and ending is None:
                ending = "filled"
        return Piece(self.number, text, len(tokens), ending)

    def _add_guarded(self, guard: Guard, tokens: list[int], *, over: bool) -> Piece:
        before = len(guard.tokens)
        text = guard.add(tokens)
        left_out = 0
        is_long = over and not guard.refused and guard.ending is None
        if is_long or guard.ending == "length":
            rest, left_out = guard.finish()
            text += rest
        return Piece(self.number, text, len(guard.tokens) - before, guard.ending, left_out)


class Writer:
    """Writes texts with a model, many at once."""

    def __init__(
        self,
        model: LanguageModel,
        variables: Variables,
        tokenizer: Tokenizer,
        *,
        max_length: int = 2048,
        batch_size: int = 8,
        prompts_are_prefixes: bool = False,
        sampling: SamplingConfig = GREEDY,
        heal: bool = True,
        constraint: Constraint | None = None,
        speculate: int | None = None,
        suffix_first: bool = False,
        known_bytes: int = KNOWN_BYTES,
        reuse_shifted: bool = False,
    ):
        """Stores the settings; nothing is compiled yet.

        Args:
          model: the model.
          variables: its values; in the compute dtype where speed matters.
          tokenizer: its tokenizer.
          max_length: largest number of tokens of a text, prompt included.
          batch_size: largest number of texts written at once.
          prompts_are_prefixes: whether the tokens of a prompt see each other, for models trained so
            (`prefix_lm` in their config).
          sampling: how `complete` draws.
          heal: whether the last tokens of prompts are taken back where they may be the beginning of
            a longer one, and written anew (`inference.text.healing`).
          constraint: of the texts of `complete`.
          speculate: tokens that are proposed at once from what the text has repeated so far
            (`inference.text.speculation`), 0 for none. None is 7 where that surely changes no
            text, with quantised models of Llama's family on CPU, and 0 elsewhere.
          suffix_first: whether the text behind a hole is read before the one before it, so that it
            need not be read again after a change before the hole; for models that know that order.
          known_bytes: memory for the caches of prompts that later ones may begin like.
          reuse_shifted: whether what stands behind a change is not read again either, but what is
            known of it moved to its new place (`inference.text.reading`): what is written then
            depends on what was read before.

        Raises:
          ConfigError: speculate is less than 0, the model does not know the order, or its prompts
            are always read whole.
        """
        self.model = model
        self.variables = variables
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.batch_size = batch_size
        self.prompts_are_prefixes = prompts_are_prefixes
        self.sampling = sampling
        self.heal = heal
        self.constraint = constraint
        if speculate is None:
            speculate = speculation.PROPOSED if is_exact(model, variables) else 0
        check(
            speculate >= 0,
            "speculate",
            expected="a number of tokens, 0 or more",
            got=speculate,
            remedy="0 proposes none",
        )
        self.speculate = speculate
        marks = tokenizer.infilling
        check(
            not suffix_first or (marks is not None and marks.suffix_may_come_first),
            "suffix_first",
            expected="a model that was trained on texts with their suffix first, as StarCoder, "
            "Code Llama and Codestral",
            got="one that is not known for it",
            remedy="leave it out",
        )
        self.suffix_first = suffix_first
        self.reader = PromptReader(
            model,
            variables,
            prompts_are_prefixes=prompts_are_prefixes,
            known_bytes=known_bytes,
            reuse_shifted=reuse_shifted,
        )
        self.end_tokens = end_tokens(tokenizer)

    @property
    def fills_holes(self) -> bool:
        """Whether prompts with a suffix are read whole; else their prefix alone goes on."""
        return self.tokenizer.infilling is not None

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The texts of the tokens that may be drawn: those of tokenizer and model both."""
        size = min(self.tokenizer.vocab_size, self.model.vocab_size)
        return Vocabulary([self.tokenizer.token_bytes(token) for token in range(size)])

    def stream(self, request: Request) -> Iterator[Piece]:
        """Yields the pieces of one text as they come; raises as `write`."""
        return self.write([request])

    def complete(
        self,
        prompts: Sequence[Prompt],
        *,
        seeds: Sequence[int],
        stop: Sequence[str] = (),
        max_tokens: int = 256,
    ) -> list[str | None]:
        """Returns all texts, in the order of their prompts; see `core.protocols.Completer`.

        Raises:
          PromptError: as `write`, but for prompts that leave no room in `max_length`: theirs is
            None.
        """
        shared = tuple(stop), max_tokens, self.sampling
        jobs = []
        for number, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            with contextlib.suppress(PromptTooLong):
                request = Request(prompt, seed, *shared, constraint=self.constraint)
                jobs.append(self._job(number, request))
        texts = {job.number: "" for job in jobs}
        for piece in self._write(jobs):
            texts[piece.request] += piece.text
        return [texts.get(number) for number in range(len(prompts))]

    def write(self, requests: Sequence[Request]) -> Iterator[Piece]:
        """Returns an iterator over the pieces of all texts; each one's last says why it is over.

        All prompts are checked before this returns. Long ones are written first, and of equal ones
        only the first is prefilled.

        Raises:
          PromptError: a prompt cannot be completed, or leaves no room in `max_length`.
          ConstraintError: a constraint cannot be kept after its prompt.
          ValueError: a stop sequence is empty, or `max_tokens` is below 1.
        """
        return self._write([self._job(number, one) for number, one in enumerate(requests)])

    def fits(self, request: Request) -> bool:
        """Returns whether a prompt leaves room for at least one token in `max_length`.

        Raises:
          PromptError, ValueError: as `write`, but for prompts that are too long.
        """
        try:
            self._job(0, request)
        except PromptTooLong:
            return False
        return True

    def _job(self, number: int, request: Request) -> _Job:
        vocabulary = self.vocabulary if self.heal else None
        prompt = encode_prompt(
            self.tokenizer, request.prompt, vocabulary, suffix_first=self.suffix_first
        )
        length = len(prompt.tokens) + prompt.taken
        left = min(request.max_tokens, self.max_length - length)
        if request.max_tokens < 1:
            raise ValueError(f"max_tokens: expected 1 or more, got {request.max_tokens}; raise it")
        if left < 1:
            raise PromptTooLong(
                f"expected a prompt of fewer than {self.max_length} tokens, got {length}; "
                "shorten it, or raise max_length if the model was trained on longer texts"
            )
        transcript = Transcript(self.tokenizer, request.stop, skip=len(prompt.owed))
        filling = None
        if request.prompt.suffix is not None or request.one_line or request.one_block:
            hole = Hole(request.prompt.prefix, request.prompt.suffix or "", request.one_line)
            filling = Filling(hole)
        guard = self._guard(request, prompt)
        return _Job(number, request, prompt, left, transcript, filling, self.end_tokens, guard)

    def _guard(self, request: Request, prompt: Healed) -> Guard | None:
        """Returns what keeps a text within its constraint."""
        if request.constraint is None:
            return None
        if request.one_line:
            raise ConstraintError(
                "expected either a constraint or a single line, got both; leave one out"
            )
        return Guard(
            request.constraint.rules(request.prompt, self.vocabulary),
            self.vocabulary,
            self.end_tokens,
            stop=request.stop,
            owed=prompt.owed,
            budget=request.max_tokens,
        )

    def _write(self, jobs: list[_Job]) -> Iterator[Piece]:
        if not jobs:
            return
        room = power_of_two(max(_LEAST_ROOM, *(job.length for job in jobs)))
        session = _Session(self, power_of_two(min(len(jobs), self.batch_size)), room)
        # Equal prompts become neighbours, of which the first alone is read; and the
        # longest texts do not start last.
        waiting = sorted(jobs, key=lambda job: (-len(job.prompt.tokens), job.prompt.tokens))
        # `pop` takes the last job, and the longest prompt is to go first.
        waiting.reverse()
        while waiting or session.busy:
            while waiting and session.free is not None:
                yield session.enter(waiting.pop(), session.free)
            if session.busy:
                yield from session.go_on()


class _Session:
    """A batch of rows, and the jobs that have them."""

    def __init__(self, writer: Writer, B: int, room: int):
        """Makes B free rows."""
        self._writer = writer
        self._room = room
        self._eos_tokens = jnp.array(writer.end_tokens, jnp.int32)
        self._pieces = writer.vocabulary.pieces
        self._rows = device.empty_rows(writer.model, B, room)
        self._texts = speculation.Texts(B, room)
        self._proposed = speculation.width_of(writer.speculate, B)
        self._jobs: list[_Job | None] = [None] * B
        # Tokens of the next call of `write`, adapted to how long the last one took.
        self._steps = 1
        # Rows whose first token was refused.
        self._again: list[int] = []

    @property
    def busy(self) -> bool:
        """Whether a text is being written."""
        return any(job is not None for job in self._jobs)

    @property
    def free(self) -> int | None:
        """A row that no job has, or None."""
        return next((row for row, job in enumerate(self._jobs) if job is None), None)

    def enter(self, job: _Job, row: int) -> Piece:
        """Gives a free row to a job; returns its first piece."""
        self._rows, written = device.enter(
            self._rows,
            row,
            *self._writer.reader.read(job.prompt.tokens, self._room),
            Draws.of(job.request.sampling, job.request.seed),
            Owed.of(job.prompt.owed, job.prompt.taken),
            job.left,
            self._pieces,
            self._eos_tokens,
            self._allowed([job]),
        )
        tokens, left = jax.device_get(written)
        self._texts.begin(row, job.prompt.tokens)
        return self._add(job, row, tokens[0], left[0])

    def go_on(self) -> Iterator[Piece]:
        """Adds some tokens to every row; yields a piece of each job."""
        again = self._again
        self._again = []
        for row in again:
            job = self._jobs[row]
            if job is not None:
                yield self.enter(job, row)
        begin = time.perf_counter()
        # A copy, as `_add` frees rows while the pieces are yielded. What has to enter once more is
        # not continued before.
        jobs = [None if row in self._again else job for row, job in enumerate(self._jobs)]
        wanted = np.array([job is not None for job in jobs])
        if not wanted.any():
            return
        allowed = self._allowed(jobs)
        writer = self._writer
        self._rows, written = self._program(allowed)(
            writer.model,
            writer.variables,
            self._rows,
            wanted,
            self._steps if allowed is None else 1,
            self._pieces,
            self._eos_tokens,
        )
        tokens, left = jax.device_get(written)
        seconds = time.perf_counter() - begin
        # Steps with any token: the device stops early when all texts have ended. A call that
        # compiled took long, so the next one is short and the number grows again after it.
        steps = (tokens != device.NO_TOKEN).reshape(*tokens.shape[:2], -1).any((0, 2)).sum()
        if allowed is None:
            self._steps = int(np.clip(_BLOCK_SECONDS / seconds * steps, 1, device.MOST_TOKENS))
        for row, job in enumerate(jobs):
            if job is not None:
                yield self._add(job, row, tokens[row], left[row])

    def _program(
        self, allowed: Bool[np.ndarray, "B V"] | None
    ) -> Callable[..., tuple[device.Rows, device.Written]]:
        """Returns what writes: a token at each step, or those proposed that are right."""
        if self._proposed and allowed is None:
            texts = self._texts.tokens
            return functools.partial(speculation.write, texts=texts, proposed=self._proposed)
        return functools.partial(device.write, allowed=allowed)

    def _add(self, job: _Job, row: int, tokens: np.ndarray, left: int) -> Piece:
        new = tokens[tokens != device.NO_TOKEN].tolist()
        self._texts.add(row, new)
        piece = job.add(new, over=left == 0)
        self._jobs[row] = None if piece.ending else job
        if job.guard is not None and job.guard.refused and piece.ending is None:
            self._set_back(job, row, job.guard.tokens)
        return piece

    def _set_back(self, job: _Job, row: int, tokens: list[int]) -> None:
        """Sets a row back to the first tokens of its text, or before them."""
        if not tokens:
            self._again.append(row)
            return
        texts = self._writer.vocabulary.texts
        owed = debt(job.prompt, [len(texts[token]) for token in tokens])
        self._rows = device.set_back(
            self._rows,
            row,
            tokens[-1],
            len(job.prompt.tokens) + len(tokens) - 1,
            job.left - owed.counted,
            len(tokens),
            Owed.of(owed.text, owed.spare),
        )
        self._texts.begin(row, [*job.prompt.tokens, *tokens])

    def _allowed(self, jobs: Sequence[_Job | None]) -> Bool[np.ndarray, "B V"] | None:
        """Returns which tokens each row may draw; None if no row is constrained now."""
        masks = [None if job is None or job.guard is None else job.guard.allowed() for job in jobs]
        if all(mask is None for mask in masks):
            return None
        every = np.ones(len(self._writer.vocabulary.texts), bool)
        return np.stack([every if mask is None else mask for mask in masks])
