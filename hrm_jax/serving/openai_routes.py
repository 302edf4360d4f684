"""OpenAI's protocol: completions, chat completions, models."""

import asyncio
import dataclasses
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hrm_jax.core.types import Prompt
from hrm_jax.inference.text import requests
from hrm_jax.inference.text.constraints import Constraint
from hrm_jax.inference.text.prompts import marked_prompt
from hrm_jax.serving.current import Current
from hrm_jax.serving.messages import Asked, ChatAsked, CompletionAsked
from hrm_jax.serving.service import (
    Measured,
    RequestError,
    Service,
    Verdict,
    sampling,
    schema,
    seed_of,
)
from hrm_jax.serving.streams import streamed, unless_gone

_DEFAULT_TOKENS = 16
"""`max_tokens` of completions where it is not given, by the protocol."""
Kind = Literal["text_completion", "chat.completion"]


routes = APIRouter(prefix="/v1", tags=["OpenAI"])


@routes.get("/models")
async def models(service: Current) -> dict[str, Any]:
    """Lists the one model that is loaded."""
    return {"object": "list", "data": [_model(service)]}


@routes.get("/models/{model:path}")
async def model(service: Current, model: str) -> dict[str, Any]:
    """Describes the loaded model, whatever it is asked for by."""
    del model
    return _model(service)


@routes.post("/completions", response_model=None)
async def completions(
    service: Current, asked: CompletionAsked, request: Request
) -> Response | dict[str, Any]:
    """Continues texts, or fills the hole before a suffix."""
    _refuse_logprobs(asked.logprobs)
    limit = _DEFAULT_TOKENS if asked.max_tokens is None else asked.max_tokens

    def prepared() -> tuple[list[Measured], list[str]]:
        made = [_prompt(service, prompt, asked.suffix) for prompt in _prompts(asked)]
        echo = [prompt.prefix if asked.echo else "" for prompt in made]
        return _requests(service, asked, made, limit), echo

    written, echo = await asyncio.to_thread(prepared)
    return await _answer(service, asked, request, "text_completion", written, None, echo)


@routes.post("/chat/completions", response_model=None)
async def chat(service: Current, asked: ChatAsked, request: Request) -> Response | dict[str, Any]:
    """Writes the assistant's next turn."""
    _refuse_logprobs(asked.logprobs or None)
    limit = asked.max_completion_tokens or asked.max_tokens
    messages = [turn.model_dump(exclude_unset=True) for turn in asked.messages]
    options = dict(asked.chat_template_kwargs or {})
    if asked.tools:
        options["tools"] = asked.tools

    def prepared() -> list[Measured]:
        prompt = service.loaded.conversation(messages, **options)
        return _requests(service, asked, [prompt], -1 if limit is None else limit)

    written = await asyncio.to_thread(prepared)
    return await _answer(service, asked, request, "chat.completion", written, messages, [""])


def _model(service: Service) -> dict[str, Any]:
    return {
        "id": service.name,
        "object": "model",
        "created": service.created,
        "owned_by": "hrm_jax",
        "meta": {
            "n_ctx_train": service.context,
            "n_vocab": service.loaded.model.vocab_size,
            "verifies": service.verifies,
        },
    }


def _refuse_logprobs(asked: Any) -> None:
    if asked is not None:
        raise RequestError("logprobs: this server does not give them; leave the field out")


def _prompts(asked: CompletionAsked) -> list[Any]:
    """Returns the prompts of a request: texts, or the tokens of one."""
    prompt: Any = asked.prompt
    is_list_of_texts = isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], str)
    return prompt if is_list_of_texts else [prompt]


def _prompt(service: Service, prompt: str | Sequence[int], suffix: str | None) -> Prompt:
    """Returns a prompt in which the names of markers are markers: its text is the caller's own."""
    if not isinstance(prompt, str):
        return token_prompt(service, prompt)
    if suffix is not None:
        return Prompt(prompt, suffix)
    return marked_prompt(service.loaded.tokenizer, prompt)


def token_prompt(service: Service, tokens: Sequence[int]) -> Prompt:
    """Returns a prompt of tokens; raises RequestError for one that the model does not have."""
    tokenizer = service.loaded.tokenizer
    size = min(tokenizer.vocab_size, service.loaded.model.vocab_size)
    unknown = next((token for token in tokens if token >= size), None)
    if unknown is not None:
        raise RequestError(f"prompt: expected tokens below {size}, got {unknown}")
    return Prompt(tokenizer.decode(tokens), tokens=tuple(tokens), ends_at_token=True)


def _requests(
    service: Service, asked: Asked, prompts: Sequence[Prompt], limit: int
) -> list[Measured]:
    """Returns a request for each choice of each prompt, in OpenAI's order."""
    if limit == 0:
        raise RequestError("max_tokens: expected 1 or more, or -1 for what there is, got 0")
    count = asked.n or 1
    seed = seed_of(asked.seed)
    shared = requests.Request(
        prompts[0],
        seed,
        asked.stops,
        limit if limit > 0 else service.context,
        sampling(asked.temperature, asked.top_k, asked.top_p),
        constraint=_constraint(asked),
    )
    found = []
    for prompt in prompts:
        request = dataclasses.replace(shared, prompt=prompt)
        measured = service.measure(request, cut=limit < 0)
        for choice in range(count):
            one = dataclasses.replace(measured.request, seed=seed + choice)
            found.append(Measured(one, measured.prompt_tokens))
    return found


def _constraint(asked: Asked) -> Constraint | None:
    wanted = asked.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return schema({})
    if wanted.json_schema is None or wanted.json_schema.schema_ is None:
        raise RequestError("response_format: expected json_schema with a schema, got none")
    return schema(wanted.json_schema.schema_)


async def _answer(
    service: Service,
    asked: Asked,
    request: Request,
    kind: Kind,
    written: list[Measured],
    messages: list[dict[str, Any]] | None,
    echo: list[str],
) -> Response | dict[str, Any]:
    """Returns the whole answer, or its stream."""
    frame = _Frame(service, asked, kind, written, echo)
    if asked.verify is not None:
        if len(written) > 1:
            raise RequestError("verify: expected one prompt and n: 1")
        verifying = service.verify(written[0].request, asked.verify, messages)
        verdict = await unless_gone(request, verifying)
        if asked.stream:
            return await streamed(frame.verified_chunks(verdict), done=True)
        return frame.verified(verdict)
    if asked.stream:
        return await streamed(frame.chunks(), done=True)
    return await unless_gone(request, frame.whole())


class _Frame:
    """What stands around the texts of one answer."""

    def __init__(
        self,
        service: Service,
        asked: Asked,
        kind: Kind,
        written: list[Measured],
        echo: list[str],
    ):
        self._service = service
        self._asked = asked
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
        async for piece in self._service.write([one.request for one in self._written]):
            texts[piece.request] += piece.text
            tokens += piece.tokens
            if piece.ending is not None:
                endings[piece.request] = finish_reason(piece.ending)
        return self._complete(texts, endings, tokens)

    def verified(self, verdict: Verdict) -> dict[str, Any]:
        """Returns the answer of a text that was to be verified."""
        text = self._before[0] + verdict.text
        answer = self._complete([text], [finish_reason(verdict.ending)], verdict.tokens)
        return {**answer, **verdict_fields(verdict)}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """Yields the parts of the answer as they come."""
        for index, before in enumerate(self._before):
            if self._is_chat or before:
                yield self._chunk(index, before, first=True)
        tokens = 0
        async for piece in self._service.write([one.request for one in self._written]):
            tokens += piece.tokens
            if piece.text:
                yield self._chunk(piece.request, piece.text)
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

    def _complete(
        self, texts: list[str], endings: Sequence[str | None], tokens: int
    ) -> dict[str, Any]:
        choices = []
        for index, text in enumerate(texts):
            said: dict[str, Any] = {"text": text}
            if self._is_chat:
                said = {"message": {"role": "assistant", "content": text, "refusal": None}}
            ending = endings[index]
            choices.append({"index": index, **said, "finish_reason": ending, "logprobs": None})
        return {
            **self._head,
            "object": self._kind,
            "choices": choices,
            "usage": self._usage(tokens),
        }

    def _chunk(
        self, index: int, text: str, *, first: bool = False, ending: str | None = None
    ) -> dict[str, Any]:
        said: dict[str, Any] = {"text": text}
        kind = "text_completion"
        if self._is_chat:
            kind = "chat.completion.chunk"
            role = {"role": "assistant"} if first else {}
            said = {"delta": role | ({} if ending else {"content": text})}
        choice = {"index": index, **said, "finish_reason": ending, "logprobs": None}
        return {**self._head, "object": kind, "choices": [choice]}

    def _usage_chunk(self, tokens: int) -> list[dict[str, Any]]:
        options = self._asked.stream_options
        if options is None or not options.include_usage:
            return []
        kind = "chat.completion.chunk" if self._is_chat else self._kind
        return [{**self._head, "object": kind, "choices": [], "usage": self._usage(tokens)}]

    def _usage(self, tokens: int) -> dict[str, int]:
        choices = self._asked.n or 1
        prompt = sum(one.prompt_tokens for one in self._written[::choices])
        return {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
        }


def finish_reason(ending: requests.Ending | None) -> str:
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
