"""Writes texts with a model: prompts in, text out, as it comes or all at once.

Texts share a batch of rows; when one ends, the next prompt takes its row.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence

from hrm_jax.core.config import check
from hrm_jax.core.protocols import LanguageModel, Tokenizer
from hrm_jax.core.texts import Prompt
from hrm_jax.core.types import Variables
from hrm_jax.data.text.holes import Hole
from hrm_jax.data.text.infilling import end_tokens
from hrm_jax.inference.text import speculation
from hrm_jax.inference.text.buckets import power_of_two
from hrm_jax.inference.text.constraints import Constraint, ConstraintError, Guard
from hrm_jax.inference.text.healing import Healed, Vocabulary
from hrm_jax.inference.text.prompts import PromptTooLong, encode_prompt
from hrm_jax.inference.text.reading import KNOWN_BYTES, PromptReader, is_exact
from hrm_jax.inference.text.refilling import Refill
from hrm_jax.inference.text.requests import GREEDY, Job, Piece, Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.session import Session
from hrm_jax.inference.text.transcripts import Filling, Transcript

_LEAST_ROOM = 128


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
        self.is_exact = is_exact(model, variables)
        if speculate is None:
            speculate = speculation.PROPOSED if self.is_exact else 0
        _check_settings(tokenizer, speculate, suffix_first)
        self.speculate = speculate
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
        # Models may have rows for tokens that no tokenizer has, and the other way round.
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
            # Others are still written; a text that is missing says that its prompt was too long.
            with contextlib.suppress(PromptTooLong):
                request = Request(prompt, seed, *shared, constraint=self.constraint)
                jobs.append(self.job(number, request))
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
        return self._write([self.job(number, one) for number, one in enumerate(requests)])

    def fits(self, request: Request) -> bool:
        """Returns whether a prompt leaves room for at least one token in `max_length`.

        Raises:
          PromptError, ValueError: as `write`, but for prompts that are too long.
        """
        try:
            self.job(0, request)
        except PromptTooLong:
            return False
        return True

    def job(self, number: int, request: Request) -> Job:
        """Returns what a request is written by, its prompt in tokens.

        Args:
          number: that its pieces carry.
          request: the request.

        Raises:
          PromptError, ConstraintError, ValueError: as `write`.
        """
        vocabulary = self.vocabulary if self.heal else None
        prompt = encode_prompt(
            self.tokenizer, request.prompt, vocabulary, suffix_first=self.suffix_first
        )
        # Tokens that were taken back are written again and need room.
        length = len(prompt.tokens) + prompt.taken
        left = min(request.max_tokens, self.max_length - length)
        if request.max_tokens < 1:
            raise ValueError(f"max_tokens: expected 1 or more, got {request.max_tokens}; raise it")
        if left < 1:
            raise PromptTooLong(
                f"expected a prompt of fewer than {self.max_length} tokens, got {length}; "
                "shorten it, or raise max_length if the model was trained on longer texts"
            )
        # The first bytes that are written repeat what was taken back from the prompt.
        transcript = Transcript(self.tokenizer, request.stop, skip=len(prompt.owed))
        filling = None
        if request.prompt.suffix is not None or request.one_line or request.one_block:
            hole = Hole(request.prompt.prefix, request.prompt.suffix or "", request.one_line)
            filling = Filling(hole)
        guard = self._guard(request, prompt)
        # If the model reads what is behind the hole, one that stays empty is filled once more.
        if guard is None and request.prompt.suffix is not None and self.fills_holes:
            guard = Refill(self.vocabulary, self.end_tokens, prompt.owed)
        return Job(number, request, prompt, left, transcript, filling, self.end_tokens, guard)

    def session(self, B: int, room: int) -> Session:
        """Returns B free rows of `room` tokens each, prompts included."""
        return Session(
            self.reader,
            self.vocabulary,
            self.end_tokens,
            B=B,
            room=room,
            speculate=self.speculate,
            apart=self.is_exact,
        )

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

    def _write(self, jobs: list[Job]) -> Iterator[Piece]:
        if not jobs:
            return
        # Powers of two, so that few programs are compiled.
        session = self.session(
            power_of_two(min(len(jobs), self.batch_size)),
            power_of_two(max(_LEAST_ROOM, *(job.length for job in jobs))),
        )
        # Equal prompts become neighbours, of which the first alone is read; and the
        # longest texts do not start last.
        waiting = sorted(jobs, key=lambda job: (-len(job.prompt.tokens), job.prompt.tokens))
        # `pop` takes the last job, and the longest prompt is to go first.
        waiting.reverse()
        while waiting or session.busy:
            while waiting and session.free is not None:
                # Its first token comes with the reading of the prompt.
                yield session.enter(waiting.pop(), session.free)
            if session.busy:
                yield from session.go_on()


def _check_settings(tokenizer: Tokenizer, speculate: int, suffix_first: bool) -> None:
    """Raises ConfigError for settings of a `Writer` that cannot be."""
    check(
        speculate >= 0,
        "speculate",
        expected="a number of tokens, 0 or more",
        got=speculate,
        remedy="0 proposes none",
    )
    marks = tokenizer.infilling
    check(
        not suffix_first or (marks is not None and marks.suffix_may_come_first),
        "suffix_first",
        expected="a model that was trained on texts with their suffix first, as StarCoder, "
        "Code Llama and Codestral",
        got="one that is not known for it",
        remedy="leave it out",
    )
