"""llama.cpp's protocol, as its editors' plugins speak it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hrm_jax.context.choosing import File, choose
from hrm_jax.core.texts import FilePlace, Prompt
from hrm_jax.data.text.infilling import neighbour_tokens
from hrm_jax.inference.text import grammars, requests
from hrm_jax.inference.text.constraints import Constraint
from hrm_jax.inference.text.prompts import marked_prompt
from hrm_jax.inference.text.requests import Ending, Piece, Scored
from hrm_jax.serving.current import Current
from hrm_jax.serving.hole_context import around_hole_within, neighbours_within, place_within
from hrm_jax.serving.messages import (
    ContextAsked,
    DetokenizeAsked,
    InfillAsked,
    LlamaAsked,
    LlamaCompletionAsked,
    TokenizeAsked,
)
from hrm_jax.serving.openai_replies import verdict_fields
from hrm_jax.serving.openai_routes import token_prompt
from hrm_jax.serving.service import Measured, RequestError, Service, sampling, schema, seed_of
from hrm_jax.serving.streams import streamed, unless_gone
from hrm_jax.serving.token_scores import TokenScores

_MARKS = 16
"""Tokens of the context that are left for the marks around a hole, and what healing adds."""
_FILLED_TOKENS = 128
"""Tokens that are left for what fills a hole where a request asks for what there is."""
_STOP_TYPES: dict[Ending, str] = {"end": "eos", "stop": "word", "filled": "eos", "length": "limit"}


routes = APIRouter(tags=["llama.cpp"])


@routes.post("/completion", response_model=None)
@routes.post("/completions", response_model=None, include_in_schema=False)
async def completion(
    service: Current, asked: LlamaCompletionAsked, request: Request
) -> Response | dict[str, Any]:
    """Continues a text."""

    def measured() -> Measured:
        if isinstance(asked.prompt, str):
            prompt = marked_prompt(service.loaded.tokenizer, asked.prompt)
        else:
            prompt = token_prompt(service, asked.prompt)
        return _request(service, asked, prompt)

    # Encoding a long text takes seconds, in which all streams would stand still.
    return await _answer(service, asked, request, await asyncio.to_thread(measured))


@routes.post("/infill", response_model=None)
async def infill(
    service: Current, asked: InfillAsked, request: Request
) -> Response | dict[str, Any]:
    """Fills the hole between a prefix and a suffix, as far as the context has room for them.

    A model without marks for holes goes on from the prefix.
    """
    measured = await asyncio.to_thread(lambda: _request(service, asked, _hole(service, asked)))
    return await _answer(service, asked, request, measured)


@routes.post("/context")
async def context(_: Current, asked: ContextAsked) -> dict[str, list[dict[str, str]]]:
    """Chooses parts of files for `input_extra` of `/infill`, which then stay the same for a while.

    An editor asks for them when somebody begins to write somewhere, and not at each key: they stand
    before the file in a prompt, and with others all of it is read anew.
    """
    files = [File(one.filename, one.text) for one in asked.input_extra]
    found = await asyncio.to_thread(
        choose, files, asked.input_prefix, asked.input_suffix, asked.characters
    )
    return {"input_extra": [one._asdict() for one in found]}


@routes.post("/tokenize")
async def tokenize(service: Current, asked: TokenizeAsked) -> dict[str, Any]:
    """Returns the tokens of a text."""
    return {"tokens": await asyncio.to_thread(_tokens, service, asked)}


@routes.post("/detokenize")
async def detokenize(service: Current, asked: DetokenizeAsked) -> dict[str, str]:
    """Returns the text of tokens."""
    prompt = await asyncio.to_thread(token_prompt, service, asked.tokens)
    return {"content": prompt.prefix}


@routes.get("/props")
async def props(service: Current) -> dict[str, Any]:
    """Describes the server."""
    return {
        "default_generation_settings": {"n_ctx": service.context},
        "total_slots": service.engine.load.rows,
        "model_alias": service.name,
        "model_path": str(service.loaded.origin),
        "fills_holes": service.engine.writer.fills_holes,
        "verifies": service.verifies,
    }


def _hole(service: Service, asked: InfillAsked) -> Prompt:
    """Returns the prompt of a hole: what is near it, as far as there is room."""
    wanted = asked.n_predict if asked.n_predict > 0 else _FILLED_TOKENS
    # What is written comes first: the text around the hole gets what is left.
    room = service.context - wanted - _MARKS
    if room < 1:
        raise RequestError(
            f"n_predict: expected less than {service.context - _MARKS}, got {wanted}"
        )
    tokenizer = service.loaded.tokenizer
    place = place_within(tokenizer, FilePlace(asked.filename, asked.project), room // 4)
    room -= sum(map(len, neighbour_tokens(tokenizer, (), place)))
    files = [(one.filename, one.text) for one in asked.input_extra]
    prefix, suffix = around_hole_within(
        tokenizer,
        asked.input_prefix + asked.prompt,
        asked.input_suffix,
        room // 2 if files else room,
    )
    # The same files whatever the hole is: so what a request with files alone has read is known.
    neighbours = neighbours_within(tokenizer, files, room // 2)
    return Prompt(prefix, suffix, neighbours=neighbours, place=place)


def _tokens(service: Service, asked: TokenizeAsked) -> list[Any]:
    tokenizer = service.loaded.tokenizer
    encode = tokenizer.encode_marked if asked.parse_special else tokenizer.encode
    # The tokens with which a text begins stand apart: `encode` knows of no beginning.
    tokens = [*(tokenizer.begin("") if asked.add_special else []), *encode(asked.content)]
    if not asked.with_pieces:
        return tokens
    return [{"id": one, "piece": _piece(tokenizer, one)} for one in tokens]


def _piece(tokenizer: Any, token: int) -> str | list[int]:
    """Returns the text of a token, or its bytes where they are no text."""
    data = tokenizer.token_bytes(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)


def _request(service: Service, asked: LlamaAsked, prompt: Prompt) -> Measured:
    limit = asked.n_predict
    request = requests.Request(
        prompt,
        seed_of(asked.seed),
        asked.stops,
        # Reading alone (0) writes one token, which is dropped in `_pieces`.
        service.context if limit < 0 else max(limit, 1),
        sampling(asked.temperature, asked.top_k, asked.top_p),
        constraint=_constraint(asked),
        scores=asked.n_probs or None,
    )
    return service.measure(request, cut=True)


def _constraint(asked: LlamaAsked) -> Constraint | None:
    if asked.grammar and asked.json_schema is not None:
        raise RequestError("grammar: expected either a grammar or json_schema, got both")
    if asked.grammar:
        return grammars.lark(asked.grammar)
    return None if asked.json_schema is None else schema(asked.json_schema)


async def _answer(
    service: Service, asked: LlamaAsked, request: Request, measured: Measured
) -> Response | dict[str, Any]:
    reply = _Reply(service, asked, measured)
    if asked.verify is not None and asked.n_predict != 0:
        verifying = service.verify(measured.request, asked.verify, None)
        verdict = await unless_gone(request, verifying)
        reply.text = verdict.text
        reply.tokens = verdict.tokens
        reply.ending = verdict.ending or "length"
        fields = verdict_fields(verdict)
        if asked.stream:
            return await streamed(request, reply.parts_at_once(fields), done=False)
        return {**reply.last(reply.text), **fields}
    if asked.stream:
        return await streamed(request, reply.parts(), done=False)
    return await unless_gone(request, reply.whole())


class _Reply:
    """The answer to one request: its text so far, and when it was written."""

    def __init__(self, service: Service, asked: LlamaAsked, measured: Measured):
        self.text = ""
        self.tokens = 0
        self.ending: Ending = "length"
        self._service = service
        self._asked = asked
        self._measured = measured
        self._begin = time.perf_counter()
        self._first: float | None = None

    async def whole(self) -> dict[str, Any]:
        """Returns the answer when all of it is there."""
        scores: list[Scored] = []
        async for piece in self._pieces():
            scores += piece.scores
        return self.last(self.text) | self._scored(scores)

    async def parts(self) -> AsyncIterator[dict[str, Any]]:
        """Yields the answer as it comes; the last part has no text, and all else."""
        async with contextlib.aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                if piece.text or piece.scores:
                    part = {"content": piece.text, "stop": False, "index": 0}
                    yield part | self._scored(piece.scores)
        yield self.last("")

    async def parts_at_once(self, fields: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yields an answer that is there, with further fields in the last part."""
        yield {"content": self.text, "stop": False, "index": 0}
        yield {**self.last(""), **fields}

    def _scored(self, scores: Sequence[Scored]) -> dict[str, Any]:
        """Returns the field of tokens' log-probabilities, if they were asked for."""
        if not self._asked.n_probs:
            return {}
        told = TokenScores(self._service.loaded.tokenizer).of_llama(scores)
        return {"completion_probabilities": told}

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        reads_only = self._asked.n_predict == 0
        # Closed at once where it is left early, so that its row is free.
        async with contextlib.aclosing(self._service.write([self._measured.request])) as pieces:
            async for piece in pieces:
                # The first piece ends the time that the prompt took.
                self._first = self._first or time.perf_counter()
                if reads_only:
                    continue
                # A text that is late ends with the next line.
                line, line_end, _ = piece.text.rpartition("\n")
                is_late = bool(line_end) and self._is_late()
                if is_late:
                    piece = piece._replace(text=line + line_end)
                self.text += piece.text
                self.tokens += piece.tokens
                self.ending = piece.ending or "length"
                yield piece
                if is_late:
                    break

    def _is_late(self) -> bool:
        """Returns whether the time to write is over."""
        limit = self._asked.t_max_predict_ms
        since = time.perf_counter() - (self._first or time.perf_counter())
        return limit > 0 and 1000 * since > limit

    def last(self, content: str) -> dict[str, Any]:
        """Returns the part that ends the answer, or the fields of it that are asked for."""
        answer = self._last(content)
        if isinstance(self._asked, InfillAsked):
            # Without marks for holes the text goes on from the prefix, and knows of no suffix.
            answer["fills_holes"] = self._service.engine.writer.fills_holes
        if not self._asked.response_fields:
            return answer
        return selected(answer, self._asked.response_fields)

    def _last(self, content: str) -> dict[str, Any]:
        now = time.perf_counter()
        first = self._first or now
        prompt_ms = 1000 * (first - self._begin)
        predicted_ms = 1000 * (now - first)
        prompt_tokens = self._measured.prompt_tokens
        return {
            "content": content,
            "stop": True,
            "index": 0,
            "model": self._service.name,
            "tokens_predicted": self.tokens,
            "tokens_evaluated": prompt_tokens,
            "tokens_cached": prompt_tokens + self.tokens,
            "truncated": False,
            "stop_type": _STOP_TYPES[self.ending],
            "stopping_word": "",
            "generation_settings": {"n_predict": self._asked.n_predict},
            "timings": {
                **_timings("prompt", prompt_tokens, prompt_ms),
                **_timings("predicted", self.tokens, predicted_ms),
            },
        }


def selected(answer: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Returns the fields at some paths, such as `timings/prompt_n`, by these; others are left out.

    Args:
      answer: fields, some of which have fields.
      paths: where they stand.
    """
    found = {}
    for path in paths:
        value: Any = answer
        for name in path.split("/"):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            found[path] = value
    return found


def _timings(name: str, tokens: int, milliseconds: float) -> dict[str, float]:
    """Returns how many tokens took how long, under llama.cpp's names."""
    return {
        f"{name}_n": tokens,
        f"{name}_ms": round(milliseconds, 3),
        f"{name}_per_token_ms": round(milliseconds / max(tokens, 1), 3),
        f"{name}_per_second": round(1000 * tokens / milliseconds, 3) if milliseconds else 0.0,
    }
