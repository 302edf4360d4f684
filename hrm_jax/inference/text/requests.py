"""Requests for texts, and what becomes of them: a job turns tokens into pieces of text."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.constraints import Constraint, Guard
from hrm_jax.inference.text.healing import Healed
from hrm_jax.inference.text.refilling import Refill
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.transcripts import Filling, Transcript

GREEDY = SamplingConfig()

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
      scores: how many of the likeliest tokens are told beside each one, at most
        `rows.MOST_SCORES`; None to tell no scores at all.
    """

    prompt: Prompt
    seed: int = 0
    stop: tuple[str, ...] = ()
    max_tokens: int = 256
    sampling: SamplingConfig = GREEDY
    one_line: bool = False
    one_block: bool = False
    constraint: Constraint | None = None
    scores: int | None = None


class Scored(NamedTuple):
    """A token that was drawn, and how likely the model held it to be.

    Attributes:
      token: the token.
      logprob: its log-probability, before temperature and limits.
      likeliest: the likeliest tokens with theirs, the likeliest first.
    """

    token: int
    logprob: float
    likeliest: tuple[tuple[int, float], ...]


class Piece(NamedTuple):
    """New text of one request.

    Attributes:
      request: number of the request.
      text: the new text; empty while a character or a stop sequence may be incomplete.
      tokens: number of tokens it took.
      ending: why the text is over; None if it is not.
      left_out: number of bytes that were written after the last complete statement, and are left
        out of a text that its length has ended; 0 without a constraint.
      scores: of the tokens, if they were asked for: of those whose text is held back, too, and not
        of those that repeat the end of the prompt.
    """

    request: int
    text: str
    tokens: int
    ending: Ending | None
    left_out: int = 0
    scores: tuple[Scored, ...] = ()


@dataclasses.dataclass(frozen=True)
class Job:
    """A request that is being written.

    Attributes:
      number: of the request.
      request: what is asked for.
      prompt: its tokens, and what was taken back of them.
      left: largest number of tokens to write, those taken back included.
      transcript: its text so far.
      filling: where the text ends that fills a hole or a block; None for any other text.
      end_tokens: the tokens that end a text.
      guard: what keeps it within its constraint, or fills its hole once more; None without either.
    """

    number: int
    request: Request
    prompt: Healed
    left: int
    transcript: Transcript
    filling: Filling | None
    end_tokens: tuple[int, ...]
    guard: Guard | Refill | None

    @property
    def length(self) -> int:
        """Largest number of tokens, the prompt's and those taken back from it included."""
        return len(self.prompt.tokens) + self.prompt.taken + self.left

    @property
    def owed_bytes(self) -> int:
        """Bytes of the end of the prompt that the tokens to come have to repeat."""
        return self.guard.owed_bytes if isinstance(self.guard, Guard) else self.transcript.skip

    def add(self, tokens: Sequence[int], *, over: bool) -> Piece:
        """Returns the piece that tokens add; `over` means that the device has ended the text."""
        if isinstance(self.guard, Guard):
            piece = self._add_guarded(self.guard, tokens, over=over)
        else:
            piece = self._add_free(tokens, over=over)
        if self.filling is None:
            return piece
        cut = piece.ending == "length"
        text = self.filling.add(piece.text, ended=piece.ending is not None and not cut, cut=cut)
        # A hole can be full before the model ends its text.
        filled = self.filling.over and piece.ending is None
        piece = piece._replace(text=text, ending="filled" if filled else piece.ending)
        if isinstance(self.guard, Refill):
            return self._refilled(self.guard, self.filling, piece, tokens)
        return piece

    def _refilled(
        self, refill: Refill, filling: Filling, piece: Piece, tokens: Sequence[int]
    ) -> Piece:
        """Returns a piece, or an empty one if the hole is to be filled once more."""
        refill.add(tokens)
        if piece.ending is None or filling.is_whole or not refill.refuse():
            return piece
        # Only white space stays, and nothing of it was given out.
        self.transcript.begin()
        filling.begin()
        text = filling.add(self.transcript.add(refill.tokens))
        return Piece(self.number, text, piece.tokens, None)

    def _add_free(self, tokens: Sequence[int], *, over: bool) -> Piece:
        text = self.transcript.add(tokens)
        ending: Ending | None = None
        if over:
            text += self.transcript.finish()
            ending = "end" if tokens[-1] in self.end_tokens else "length"
        # A stop sequence counts where the device ended the text in the same call, too.
        if self.transcript.stopped:
            ending = "stop"
        return Piece(self.number, text, len(tokens), ending)

    def _add_guarded(self, guard: Guard, tokens: Sequence[int], *, over: bool) -> Piece:
        before = len(guard.tokens)
        text = guard.add(tokens)
        left_out = 0
        # The device stopped for the length. Where a token was refused it is set back and goes on.
        is_long = over and not guard.refused and guard.ending is None
        if is_long or guard.ending == "length":
            rest, left_out = guard.finish()
            text += rest
        return Piece(self.number, text, len(guard.tokens) - before, guard.ending, left_out)
