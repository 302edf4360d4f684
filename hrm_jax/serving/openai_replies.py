"""Builds OpenAI's answers: whole, as a stream, and with the verdict on a verified text."""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Literal

from hrm_jax.inference.text.requests import Ending, Piece, Scored
from hrm_jax.serving.messages import Asked, Verify
from hrm_jax.serving.service import Conversation, Measured, RequestError, Service, Verdict
from hrm_jax.serving.token_scores import TokenScores

Kind = Literal["text_completion", "chat.completion"]
"""Names of answers."""


class Frame:
    """Builds one answer: its head, its choices and its usage around the texts."""

    def __init__(
        self,
        service: Service,
        asked: Asked,
        kind: Kind,
        written: list[Measured],
        echo: list[str],
        *,
        reads_only: bool = False,
    ):
        """Begins an answer.

        Args:
          service: the service that writes.
          asked: what is asked for.
          kind: of the answer.
          written: the requests, those of each prompt's choices together.
          echo: of each prompt, what stands before its texts.
          reads_only: whether nothing is told of what is written.
        """
        self.reads_only = reads_only
        self._service = service
        self._asked = asked
        self._scores = TokenScores(service.loaded.tokenizer)
        self._is_chat = kind == "chat.completion"
        self._written = written
        # Of each choice, what stands before its text.
        choices = len(written) // len(echo)
        self._before = [text for text in echo for _ in range(choices)]
        prefix = "chatcmpl" if self._is_chat else "cmpl"
        self._head = {
            "id": f"{prefix}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": service.name,
        }
        self._kind = kind

    async def whole(self) -> dict[str, Any]:
        """Returns the answer when all of it is there."""
        texts = list(self._before)
        endings: list[str | None] = [None] * len(texts)
        tokens = 0
        scores: list[list[Scored]] = [[] for _ in texts]
        async for piece in self._pieces():
            texts[piece.request] += piece.text
            scores[piece.request] += piece.scores
            tokens += piece.tokens
            if piece.ending is not None:
                endings[piece.request] = finish_reason(piece.ending)
        return self._complete(texts, endings, tokens, scores)

    async def verdict(self, asked: Verify, conversation: Conversation | None) -> Verdict:
        """Returns what is known of the text once candidates were judged; as `Service.verify`."""
        # A search writes its own candidates, so there is one text to verify.
        if len(self._written) > 1:
            raise RequestError("verify: expected one prompt and n: 1")
        return await self._service.verify(self._written[0].request, asked, conversation)

    def verified(self, verdict: Verdict) -> dict[str, Any]:
        """Returns the answer of a text that was to be verified."""
        text = self._before[0] + verdict.text
        answer = self._complete([text], [finish_reason(verdict.ending)], verdict.tokens)
        return {**answer, **verdict_fields(verdict)}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """Yields the parts of the answer as they come."""
        for index, before in enumerate(self._before):
            # A chat's first chunk names the role; a completion has one only to echo its prompt.
            if self._is_chat or before:
                yield self._chunk(index, before, first=True)
        tokens = 0
        async with contextlib.aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                tokens += piece.tokens
                if piece.text or piece.scores:
                    yield self._chunk(piece.request, piece.text, scores=piece.scores)
                if piece.ending is not None:
                    yield self._chunk(piece.request, "", ending=finish_reason(piece.ending))
        for chunk in self._usage_chunk(tokens):
            yield chunk

    async def verified_chunks(self, verdict: Verdict) -> AsyncIterator[dict[str, Any]]:
        """Yields the parts of a text that was to be verified; the last says what is known of it."""
        yield self._chunk(0, self._before[0] + verdict.text, first=True)
        last = self._chunk(0, "", ending=finish_reason(verdict.ending))
        yield {**last, **verdict_fields(verdict)}
        for chunk in self._usage_chunk(verdict.tokens):
            yield chunk

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        requests = [one.request for one in self._written]
        # Closed at once where the client goes, so that the rows are free.
        async with contextlib.aclosing(self._service.write(requests)) as pieces:
            async for piece in pieces:
                yield Piece(piece.request, "", 0, piece.ending) if self.reads_only else piece

    def _complete(
        self,
        texts: list[str],
        endings: Sequence[str | None],
        tokens: int,
        scores: Sequence[Sequence[Scored]] | None = None,
    ) -> dict[str, Any]:
        choices = []
        for index, text in enumerate(texts):
            content: dict[str, Any] = {"text": text}
            if self._is_chat:
                content = {"message": {"role": "assistant", "content": text, "refusal": None}}
            choice = {
                "index": index,
                **content,
                "finish_reason": endings[index],
                "logprobs": self._logprobs([] if scores is None else scores[index]),
            }
            choices.append(choice)
        return {
            **self._head,
            "object": self._kind,
            "choices": choices,
            "usage": self._usage(tokens),
        }

    def _chunk(
        self,
        index: int,
        text: str,
        *,
        first: bool = False,
        ending: str | None = None,
        scores: Sequence[Scored] = (),
    ) -> dict[str, Any]:
        content: dict[str, Any] = {"text": text}
        kind = "text_completion"
        if self._is_chat:
            kind = "chat.completion.chunk"
            role = {"role": "assistant"} if first else {}
            # The chunk that ends a chat has an empty delta.
            content = {"delta": role | ({} if ending else {"content": text})}
        logprobs = self._logprobs(scores) if scores else None
        choice = {"index": index, **content, "finish_reason": ending, "logprobs": logprobs}
        return {**self._head, "object": kind, "choices": [choice]}

    def _logprobs(self, scores: Sequence[Scored]) -> dict[str, Any] | None:
        """Returns the log-probabilities of tokens, if they were asked for."""
        if self._asked.scores is None or self._asked.verify is not None:
            return None
        return self._scores.of_chat(scores) if self._is_chat else self._scores.of_text(scores)

    def _usage_chunk(self, tokens: int) -> list[dict[str, Any]]:
        options = self._asked.stream_options
        if options is None or not options.include_usage:
            return []
        kind = "chat.completion.chunk" if self._is_chat else self._kind
        # OpenAI sends usage in a chunk of its own, without choices, after all others.
        return [{**self._head, "object": kind, "choices": [], "usage": self._usage(tokens)}]

    def _usage(self, tokens: int) -> dict[str, int]:
        choices = self._asked.n or 1
        # The prompt's choices stand together, and it counts once for all of them.
        prompt = sum(one.prompt_tokens for one in self._written[::choices])
        return {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
        }


def finish_reason(ending: Ending | None) -> str:
    """Returns OpenAI's name for why a text is over."""
    return "length" if ending in ("length", None) else "stop"


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """Returns what an answer tells of a text that was to be verified."""
    return {
        "verified": verdict.verified,
        "failed": verdict.failed,
        "attempts": verdict.attempts,
        "seconds": verdict.seconds,
    }
