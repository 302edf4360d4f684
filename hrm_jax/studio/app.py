"""The app: the page, and what it asks for."""

import asyncio
import contextlib
import importlib.resources
import pathlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from hrm_jax.core.errors import UserError
from hrm_jax.serving import errors
from hrm_jax.serving.protection import Guarded, Protection
from hrm_jax.studio.folders import UnknownRun, reason_of
from hrm_jax.studio.protection import Gate
from hrm_jax.studio.routes import make_routes
from hrm_jax.studio.studio import Studio

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"


def make_app(studio: Studio, hosts: tuple[str, ...], docs: pathlib.Path | None = None) -> ASGIApp:
    """Returns the app behind its protection.

    Args:
      studio: what it shows.
      hosts: names by which browsers may call it, without the port.
      docs: folder of the documentation, to which the guide links; None where it is not there.
    """

    @contextlib.asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(studio.live.look_on()),
            asyncio.create_task(studio.load_once_looked_at()),
        ]
        yield
        for task in tasks:
            task.cancel()
        await studio.thinker.close()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=living)
    app.include_router(make_routes(studio))
    errors.install(app)

    async def unknown(_: object, error: Exception) -> Response:
        return errors.reply(404, str(error))

    async def failed(_: object, error: Exception) -> Response:
        return errors.reply(507, reason_of(error))

    app.add_exception_handler(UnknownRun, unknown)
    # Not a defect here but a full disk, or a folder that may not be written.
    app.add_exception_handler(OSError, failed)
    app.add_exception_handler(UserError, _refused)
    _add_page(app, studio)
    _add_docs(app, docs)
    return Guarded(Gate(GZipMiddleware(app, minimum_size=500), studio.needed), Protection(hosts))


async def _refused(_: object, error: Exception) -> Response:
    return errors.reply(400, str(error))


def _add_page(app: FastAPI, studio: Studio) -> None:
    folder = importlib.resources.files("hrm_jax.studio") / "page"
    files = {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if any(entry.name.endswith(end) for end in _KINDS)
    }

    def answer(name: str) -> Response:
        kind = next(kind for end, kind in _KINDS.items() if name.endswith(end))
        return Response(files[name], media_type=kind, headers={"Cache-Control": "no-cache"})

    @app.get("/")
    async def index() -> Response:
        response = answer(_INDEX)
        if not studio.needed.tokens:
            response.headers["Set-Cookie"] = studio.needed.header()
        return response

    @app.get("/page/{name}")
    async def file(name: str) -> Response:
        if name not in files:
            return errors.reply(404, "there is no such file")
        return answer(name)


def _add_docs(app: FastAPI, folder: pathlib.Path | None) -> None:
    texts = {} if folder is None else {path.name: path for path in folder.glob("*.md")}

    @app.get("/api/docs")
    async def names() -> JSONResponse:
        return JSONResponse({"docs": sorted(texts)})

    @app.get("/api/docs/{name}")
    async def text(name: str) -> Response:
        if name not in texts:
            return errors.reply(404, "there is no such text")
        return PlainTextResponse(await asyncio.to_thread(texts[name].read_text, "utf-8"))
