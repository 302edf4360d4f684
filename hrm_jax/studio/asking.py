"""What the page asks of models: to solve a puzzle, to write code."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from hrm_jax.core.errors import UserError
from hrm_jax.studio.folders import CHECKPOINTS, UnknownRun, checkpoints
from hrm_jax.studio.forms import FormError
from hrm_jax.studio.studio import Studio

_MOST_CHARACTERS = 100_000


class _Question(BaseModel):
    """A question to a model; without a run's name to the one that is there without a run.

    Attributes:
      experiment: whose model.
      name: of the run.
      checkpoint: of the run; empty for the newest.
    """

    model_config = ConfigDict(extra="forbid")
    experiment: str
    name: str = Field("", max_length=300)
    checkpoint: str = Field("", max_length=100)


class Puzzle(_Question):
    """A puzzle to solve.

    Attributes:
      puzzle: in any form that the experiment's command reads.
      box: rows and columns of a box, such as 2x3, where the puzzle leaves that open.
      search: what comes after a first attempt that fails; empty for what the run is tested with.
    """

    puzzle: str = Field(max_length=20_000)
    box: str = Field("", max_length=20)
    search: Literal["", "none", "tree"] = ""


class Writing(_Question):
    """Code to write, and what it has to pass."""

    model: str = Field("", max_length=100)
    prompt: str = Field(min_length=1, max_length=_MOST_CHARACTERS)
    tests: str = Field("", max_length=_MOST_CHARACTERS)
    chat: bool = False
    max_tokens: int = Field(256, ge=1, le=8192)
    attempts: int = Field(8, ge=1, le=100)
    temperature: float = Field(0, ge=0, le=2)


def add_asking(routes: APIRouter, studio: Studio) -> None:
    """Adds the routes that ask models."""

    @routes.get("/checkpoints")
    async def saved(run: Annotated[str, Query(max_length=300)]) -> JSONResponse:
        """Answers the names of a run's checkpoints, the oldest first."""
        return JSONResponse({"checkpoints": checkpoints(studio.runs.find(run))})

    @routes.post("/think")
    async def think(body: Puzzle) -> StreamingResponse:
        """Solves a puzzle; a line of JSON for each step of thought."""
        thinker = studio.experiment(body.experiment).thinker
        if not thinker:
            raise FormError({"": f"{body.experiment}: its models solve no puzzles here"})
        question = {"puzzle": body.puzzle, "box": body.box, "search": body.search}
        return _streamed(studio, thinker, _flags(studio, body), question)

    @routes.post("/write")
    async def write(body: Writing) -> StreamingResponse:
        """Writes code; a line of JSON for each piece of text and each verdict."""
        experiment = studio.experiment(body.experiment)
        if not experiment.author:
            raise FormError({"": f"{body.experiment}: its models write no code here"})
        flags = _flags(studio, body)
        if not flags:
            await studio.loaded()
            known = await asyncio.to_thread(experiment.models)
            if body.model not in known:
                there = ", ".join(known) or "none, train one or fetch one by --model=NAME"
                raise FormError({"model": f"expected one that is here: {there}"})
            flags = [f"--model={body.model}"]
        asked = ("prompt", "tests", "chat", "max_tokens", "attempts", "temperature")
        question = {name: getattr(body, name) for name in asked}
        return _streamed(studio, experiment.author, flags, question)


def _flags(studio: Studio, body: _Question) -> list[str]:
    """Returns the flag that names the model of a run; none where no run is named.

    Raises:
      UnknownRun: there is no such run or checkpoint.
    """
    if not body.name:
        return []
    folder = studio.runs.find(body.name)
    known = checkpoints(folder)
    if not known or (body.checkpoint and body.checkpoint not in known):
        missing = body.checkpoint or "checkpoint yet"
        raise UnknownRun(f"{body.name} has no {missing}; choose another")
    inside = folder / CHECKPOINTS / body.checkpoint
    return [f"--checkpoint={inside if body.checkpoint else folder}"]


def _streamed(
    studio: Studio, module: str, flags: list[str], question: dict[str, Any]
) -> StreamingResponse:
    answers = studio.thinker.ask(module, flags, question)
    # Compressed, lines would wait for a block to be full.
    plain = {"Content-Encoding": "identity", "Cache-Control": "no-store"}
    return StreamingResponse(_lines(answers), media_type="application/x-ndjson", headers=plain)


async def _lines(answers: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async with contextlib.aclosing(answers) as source:  # pyright: ignore[reportArgumentType]
        try:
            async for answer in source:
                yield json.dumps(answer) + "\n"
        except UserError as error:
            yield json.dumps({"done": True, "error": str(error)}) + "\n"
