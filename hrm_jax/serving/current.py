"""The service that answers requests, which is there when its model is loaded."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.exceptions import HTTPException

from hrm_jax.serving.engine import EngineError
from hrm_jax.serving.service import Service


def set_service(app: FastAPI, service: Service | None) -> Service | None:
    """Lets a service answer an app's requests from now on; returns the one that did before.

    Requests that are being answered are still answered by that one.
    """
    before = getattr(app.state, "service", None)
    app.state.service = service
    return before


def service_of(app: FastAPI) -> Service | None:
    """Returns the service that answers an app's requests, or None while its model is loaded."""
    return app.state.service


async def _service(request: Request) -> AsyncIterator[Service]:
    ended = None
    # The same ended engine met twice means that no other has taken its place.
    while (service := service_of(request.app)) not in (None, ended):
        try:
            leave = service.engine.use()
        except EngineError:
            ended = service  # since it was looked up, so another has taken its place
            continue
        try:
            yield service
        finally:
            leave()
        return
    raise HTTPException(503, "the model is being loaded; try again later")


Current = Annotated[Service, Depends(_service)]
"""The service, as an argument of a route."""
