"""The app that answers over HTTP."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from hrm_jax.serving import errors, llama_routes, metrics, openai_routes
from hrm_jax.serving.current import service_of, set_service
from hrm_jax.serving.protection import Guarded, Protection


def make_app() -> FastAPI:
    """Returns an app without a model; `current.set_service` gives it one."""
    app = FastAPI(
        title="hrm_jax",
        description="Language models over HTTP, in OpenAI's and llama.cpp's protocols.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    set_service(app, None)
    app.include_router(openai_routes.routes)
    app.include_router(llama_routes.routes)
    errors.install(app)
    metrics.install(app)

    @app.get("/v1/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> JSONResponse:
        """Tells whether the model is loaded and its usual programs are compiled."""
        if service_of(app) is None:
            return errors.reply(503, "Loading model")
        return JSONResponse({"status": "ok"})

    return app


def protected(app: FastAPI, settings: Protection, origins: Sequence[str] = ()) -> ASGIApp:
    """Returns an app behind its protection.

    Args:
      app: the app.
      settings: who may ask.
      origins: of the web pages that may ask, such as an editor in a browser.
    """
    guarded: ASGIApp = Guarded(app, settings)
    if not origins:
        return guarded
    # Outermost, so that refusals reach the page with the headers that let it read them.
    return CORSMiddleware(
        guarded, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"]
    )
