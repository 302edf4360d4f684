"""OpenAI's protocol: completions, chat completions, models."""

import asyncio
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text import requests
from hrm_jax.inference.text.constraints import Constraint
from hrm_jax.inference.text.prompts import marked_prompt
from hrm_jax.serving.current import Current
from hrm_jax.serving.messages import Asked, ChatAsked, CompletionAsked
from hrm_jax.serving.openai_replies import Frame
from hrm_jax.serving.service import (
    Conversation,
    Measured,
    RequestError,
    Service,
    sampling,
    schema,
    seed_of,
)
from hrm_jax.serving.streams import streamed, unless_gone

_DEFAULT_TOKENS = 16
"""`max_tokens` of completions where it is not given, by the protocol."""


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
    limit = _DEFAULT_TOKENS if asked.max_tokens is None else asked.max_tokens

    # Encoding long prompts takes a while, and is done beside the loop that serves the others.
    def prepared() -> tuple[list[Measured], list[str]]:
        made = [_prompt(service, prompt, asked.suffix) for prompt in _prompts(asked)]
        echo = [prompt.prefix if asked.echo else "" for prompt in made]
        return _requests(service, asked, made, limit), echo

    written, echo = await asyncio.to_thread(prepared)
    frame = Frame(service, asked, "text_completion", written, echo)
    return await _answer(asked, request, frame, None)


@routes.post("/chat/completions", response_model=None)
async def chat(service: Current, asked: ChatAsked, request: Request) -> Response | dict[str, Any]:
    """Writes the assistant's next turn."""
    # The newest name of the limit comes first; without any, the answer takes what room there is.
    limits = asked.max_completion_tokens, asked.max_tokens, asked.n_predict, -1
    limit = next(limit for limit in limits if limit is not None)
    # llama.cpp's way to have a prompt read ahead of the turn that continues it.
    reads_only = limit == 0 and asked.n_predict == 0
    messages = [turn.model_dump(exclude_unset=True) for turn in asked.messages]
    prompt_of = functools.partial(
        service.loaded.conversation, tools=asked.tools, variables=asked.chat_template_kwargs
    )
    # Reading alone writes one token, which the frame leaves out.
    count = 1 if reads_only else limit
    written = await asyncio.to_thread(
        lambda: _requests(service, asked, [prompt_of(messages)], count)
    )
    frame = Frame(service, asked, "chat.completion", written, [""], reads_only=reads_only)
    return await _answer(asked, request, frame, Conversation(messages, prompt_of))


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


def _prompts(asked: CompletionAsked) -> list[Any]:
    """Returns the prompts of a request, each a text or tokens."""
    prompt: Any = asked.prompt
    # A list of numbers is the tokens of a single prompt.
    if isinstance(prompt, str) or not prompt or isinstance(prompt[0], int):
        return [prompt]
    return prompt


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
    # A model may have more rows than its tokenizer has tokens, and a tokenizer more than the model.
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
        scores=asked.scores,
    )
    found = []
    for prompt in prompts:
        request = dataclasses.replace(shared, prompt=prompt)
        # Measured once a prompt: its choices differ in their seeds alone.
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
    asked: Asked, request: Request, frame: Frame, conversation: Conversation | None
) -> Response | dict[str, Any]:
    """Returns the whole answer, or its stream."""
    if asked.verify is not None and not frame.reads_only:
        verdict = await unless_gone(request, frame.verdict(asked.verify, conversation))
        if asked.stream:
            return await streamed(request, frame.verified_chunks(verdict), done=True)
        return frame.verified(verdict)
    if asked.stream:
        return await streamed(request, frame.chunks(), done=True)
    return await unless_gone(request, frame.whole())
