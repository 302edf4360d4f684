"""Loads the model that answers, at the start and anew, while the server goes on."""

import logging
import threading
from collections.abc import Callable

from fastapi import FastAPI

from hrm_jax.serving.current import service_of, set_service
from hrm_jax.serving.service import Service

_LOG = logging.getLogger(__name__)


class Loading:
    """Loads models in threads of their own, so that the server answers meanwhile."""

    def __init__(
        self,
        app: FastAPI,
        load: Callable[[], Service],
        *,
        ready: Callable[[], None],
        failed: Callable[[], None],
        most_seconds: float,
    ):
        """Stores what is done when a model is there.

        Args:
          app: gets the service.
          load: returns a service.
          ready: called when the first model answers.
          failed: called if the first model cannot be loaded; `finish` raises the reason.
          most_seconds: that a text takes, for which the model before is kept.
        """
        self._app = app
        self._load = load
        self._ready = ready
        self._failed = failed
        self._most_seconds = most_seconds
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begins to load a model."""
        threading.Thread(target=self._run, name="loading", daemon=True).start()

    def finish(self) -> None:
        """Ends the engine; raises what kept the first model from loading."""
        if self._error is not None:
            raise self._error
        service = set_service(self._app, None)
        if service is not None:
            service.engine.stop()

    def _run(self) -> None:
        # One model at a time: who asks meanwhile waits for the one before.
        with self._lock:
            is_first = self._set_new()
        if is_first:
            self._ready()

    def _set_new(self) -> bool:
        """Loads a model and lets it answer; returns whether it is the first."""
        is_first = service_of(self._app) is None
        try:
            service = self._load()
        except BaseException as error:
            # Without any model there is nothing to serve; where one answers already, it goes on.
            if is_first:
                self._error = error
                self._failed()
            else:
                _LOG.error("the model was not loaded anew: %s", error)
            return False
        # New requests go to the new model before the old one ends.
        before = set_service(self._app, service)
        if before is not None:
            # No text takes longer, so all that it was asked for become whole.
            before.engine.stop(seconds=self._most_seconds)
        return is_first
