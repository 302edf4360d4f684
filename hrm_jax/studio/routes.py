"""The routes that the page calls, but for those that ask models."""

import asyncio
import csv
import io
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from hrm_jax.serving import errors
from hrm_jax.studio import forms, series
from hrm_jax.studio.asking import add_asking
from hrm_jax.studio.folders import BIN, open_regular, read_end
from hrm_jax.studio.forms import FormError
from hrm_jax.studio.plans import MOST_BYTES, parse_plan, plan_names, read_plan
from hrm_jax.studio.states import OUTPUT
from hrm_jax.studio.studio import Studio
from hrm_jax.studio.tags import write_tags
from hrm_jax.studio.watching import Watched
from hrm_jax.training.run_files import PROBES, parse_record

_OUTPUT_BYTES = 1 << 16
_PROBE_BYTES = 32 << 20
_MOST_PROBES = 200
_PROBED = ("sudoku", "text")
"""Kinds of probes that the page can show."""
_MOST_POINTS = 20_000
_DEEPEST = 20
"""Parts within each other of a configuration that is shown; none of ours has as many."""

Name = Annotated[str, Query(max_length=300)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Form(_Body):
    """What was filled in."""

    experiment: str
    preset: str
    texts: dict[str, str] = Field(default_factory=dict, max_length=1000)


class Start(Form):
    """A run to start."""

    name: str = Field(min_length=1, max_length=200)
    queued: bool = False


class Named(_Body):
    """A run, or what is in the bin."""

    name: str = Field(max_length=300)


class Tagged(Named):
    """A run and the tags that it is to have."""

    tags: list[str] = Field(max_length=100)


class PlanText(_Body):
    """The content of a file, and its name."""

    name: str = Field(max_length=300)
    text: str = Field(max_length=MOST_BYTES)


class Token(_Body):
    """What a person types to get in."""

    token: str = Field(max_length=1000)


def make_routes(studio: Studio) -> APIRouter:
    """Returns the routes below `/api/`."""
    routes = APIRouter(prefix="/api")
    _add_reading(routes, studio)
    _add_starting(routes, studio)
    _add_changing(routes, studio)
    add_asking(routes, studio)
    _add_plans(routes, studio)

    @routes.post("/login")
    async def login(body: Token) -> JSONResponse:
        """Gives the cookie for a token."""
        if not studio.needed.accepts(body.token):
            await asyncio.sleep(0.5)  # whoever guesses has to wait
            return errors.reply(401, "token: expected one of those in the file of --token_file")
        return JSONResponse({}, headers={"Set-Cookie": studio.needed.header()})

    return routes


def _add_reading(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(
            studio.live.events(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @routes.get("/curves")
    async def curves(
        run: Name,
        curve: Annotated[list[str] | None, Query(max_length=series.MOST_CURVES)] = None,
        points: Annotated[int, Query(ge=4, le=_MOST_POINTS)] = 1000,
        first: float = -np.inf,
        last: float = np.inf,
    ) -> JSONResponse:
        """Answers curves of a run; `name:after` asks only for points from that number on."""
        async with studio.live.lock:
            watched = studio.watching.get(run)
            found = await asyncio.to_thread(_curves, watched, curve or [], points, first, last)
        return JSONResponse(found)

    @routes.get("/output")
    async def output(run: Name) -> PlainTextResponse:
        """Answers the end of what a run printed."""
        return PlainTextResponse(read_end(studio.runs.find(run) / OUTPUT, _OUTPUT_BYTES))

    @routes.get("/config")
    async def config(run: Name) -> JSONResponse:
        """Answers a run's configuration, flat: values by paths."""
        async with studio.live.lock:
            plain, experiment = studio.watching.get(run).config()
        return JSONResponse({"experiment": experiment, "values": dict(_flat(plain))})

    @routes.get("/probes")
    async def probes(run: Name) -> JSONResponse:
        """Answers what was probed at evaluations."""
        folder = studio.runs.find(run)
        return JSONResponse({"records": await asyncio.to_thread(_probes, folder / PROBES)})

    @routes.get("/csv")
    async def as_csv(run: Name) -> PlainTextResponse:
        """Answers all points of all curves as a file."""
        async with studio.live.lock:
            watched = studio.watching.get(run)
            text = await asyncio.to_thread(_csv, watched)
        return PlainTextResponse(text, media_type="text/csv; charset=utf-8")


def _add_plans(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/plans")
    async def plans() -> JSONResponse:
        """Answers the names of files that may be plans."""
        return JSONResponse({"plans": plan_names(studio.runs.root)})

    @routes.get("/plan")
    async def plan(name: Name) -> JSONResponse:
        """Answers a plan of the runs folder."""
        return JSONResponse(await asyncio.to_thread(read_plan, studio.runs.root, name))

    @routes.post("/plan")
    async def opened(body: PlanText) -> JSONResponse:
        """Answers a plan that a person has opened; nothing of it is kept."""
        return JSONResponse(await asyncio.to_thread(parse_plan, body.text, body.name))


def _add_starting(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/experiments")
    async def experiments() -> JSONResponse:
        """Answers what can be started, at once."""
        found = {
            name: {"module": one.module, "solves": bool(one.thinker), "writes": bool(one.author)}
            for name, one in studio.experiments.items()
        }
        return JSONResponse({"experiments": found, "folder": str(studio.runs.root)})

    @routes.get("/presets")
    async def presets() -> JSONResponse:
        """Answers the presets that runs can be started from, by experiment."""
        found = {
            one.name: {name: str(preset.description) for name, preset in one.presets.items()}
            for one in await studio.loaded()
        }
        return JSONResponse({"presets": found})

    @routes.get("/models")
    async def models() -> JSONResponse:
        """Answers the names of models that are there without a run, by experiment."""
        found = {
            one.name: list(await asyncio.to_thread(one.models)) for one in await studio.loaded()
        }
        return JSONResponse({"models": found})

    @routes.get("/form")
    async def form(experiment: str, preset: str) -> JSONResponse:
        """Answers the fields of a form."""
        await studio.loaded()
        return JSONResponse({"fields": forms.describe(studio.experiment(experiment), preset)})

    @routes.post("/check")
    async def check(body: Form) -> JSONResponse:
        """Answers what is wrong with a form, or the command line that says the same."""
        await studio.loaded()
        experiment = studio.experiment(body.experiment)
        try:
            filled = forms.fill(experiment, body.preset, body.texts)
        except FormError as error:
            return JSONResponse({"problems": error.problems, "changed": [], "command": ""})
        command = forms.command_line(experiment, filled.flags)
        return JSONResponse({"problems": {}, "changed": filled.changed, "command": command})

    @routes.post("/start")
    async def start(body: Start) -> JSONResponse:
        """Starts a run or lets it wait."""
        await studio.loaded()
        await asyncio.to_thread(
            studio.jobs.start,
            body.name,
            body.experiment,
            body.preset,
            body.texts,
            queued=body.queued,
        )
        await studio.live.look()
        return JSONResponse({"name": body.name})


def _add_changing(routes: APIRouter, studio: Studio) -> None:
    async def looked_at(name: str) -> JSONResponse:
        async with studio.live.lock:
            studio.watching.forget(name)
        await studio.live.look()
        return JSONResponse({"name": name})

    @routes.post("/stop")
    async def stop(body: Named) -> JSONResponse:
        """Lets a run save and end."""
        await asyncio.to_thread(studio.jobs.stop, body.name)
        return await looked_at(body.name)

    @routes.post("/resume")
    async def resume(body: Named) -> JSONResponse:
        """Lets a run go on."""
        await studio.loaded()
        async with studio.live.lock:
            _, experiment = studio.watching.get(body.name).config()
        await asyncio.to_thread(studio.jobs.resume, body.name, experiment)
        return await looked_at(body.name)

    @routes.post("/tags")
    async def tags(body: Tagged) -> JSONResponse:
        """Gives a run these tags in place of those it has."""
        await asyncio.to_thread(write_tags, studio.runs.own(body.name), body.tags)
        return await looked_at(body.name)

    @routes.post("/delete")
    async def delete(body: Named) -> JSONResponse:
        """Moves a run into the bin."""
        binned = await asyncio.to_thread(studio.jobs.delete, body.name)
        await studio.live.look()
        return JSONResponse({"binned": binned})

    @routes.get("/bin")
    async def binned() -> JSONResponse:
        """Answers what is in the bin, and where that is."""
        names = await asyncio.to_thread(studio.jobs.binned)
        return JSONResponse({"binned": names, "folder": str(studio.runs.root / BIN)})

    @routes.post("/restore")
    async def restore(body: Named) -> JSONResponse:
        """Moves a run out of the bin."""
        return await looked_at(await asyncio.to_thread(studio.jobs.restore, body.name))


def _curves(
    watched: Watched, wanted: list[str], points: int, first: float, last: float
) -> dict[str, Any]:
    found, share = watched.read_curves()
    answered = {}
    for one in wanted:
        name, colon, after = one.rpartition(":")
        name, after = (name, int(after)) if colon and after.isdecimal() else (one, 0)
        curve = found.by_name.get(name)
        if curve is not None:
            whole = curve.points(min(after, len(curve)))
            inside = (whole.steps >= first) & (whole.steps <= last)
            whole = series.Points(*(column[inside] for column in whole))
            drawn = series.decimate(whole.values, points)
            drawn_points = series.as_json(series.Points(*(column[drawn] for column in whole)))
            answered[name] = {"count": len(curve), **drawn_points}
    return {
        "generation": watched.generation,
        "share": share,
        "damaged": found.damaged,
        "is_full": found.is_full,
        "names": sorted(found.by_name),
        "curves": answered,
    }


def _csv(watched: Watched) -> str:
    share = 0.0
    while share < 1:
        found, share = watched.read_curves()
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["curve", "step", "time_seconds", "value"])
    for name, curve in sorted(found.by_name.items()):
        # A spreadsheet would take what begins with these for a formula.
        safe = "'" + name if name[:1] in "=+-@" else name
        for point in zip(*curve.points(), strict=True):
            writer.writerow([safe, *map(float, point)])
    return text.getvalue()


def _probes(path: Any) -> list[dict[str, Any]]:
    try:
        with open_regular(path) as file:
            lines = file.read(_PROBE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    records = [record for record in map(parse_record, lines) if record is not None]
    known = [record for record in records if record.get("kind") in _PROBED]
    chosen = np.linspace(0, len(known) - 1, min(len(known), _MOST_PROBES)).astype(int)
    return [known[index] for index in chosen]


def _flat(value: Any, path: str = "", depth: int = _DEEPEST) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        if not depth:
            return [(path, "...")]
        inner = [_flat(v, f"{path}.{k}" if path else str(k), depth - 1) for k, v in value.items()]
        return [item for items in inner for item in items]
    return [(path, forms.as_text(value)[:2000])]
