"""A model is loaded while the one before goes on."""

import threading
import time

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.serving.app import make_app
from hrm_jax.serving.current import service_of, set_service
from hrm_jax.serving.loading import Loading
from tests.hrm_jax.serving import served

WAIT_SECONDS = 60.0


def test_texts_go_on_while_a_model_is_loaded_anew(monkeypatch):
    served.slow_down(monkeypatch, 0.05)
    request = Request(Prompt("x"), max_tokens=40)
    app = make_app()
    told = []
    with served.service() as before, served.service() as after:
        set_service(app, before)
        pieces = before.engine.write([request])
        text = next(pieces).text
        Loading(
            app,
            lambda: after,
            ready=lambda: told.append("ready"),
            failed=lambda: told.append("failed"),
            most_seconds=WAIT_SECONDS,
        ).start()
        while service_of(app) is not after:
            time.sleep(0.01)
        text += "".join(piece.text for piece in pieces)
        assert text == "".join(piece.text for piece in served.writer().stream(request))
    # That is for the first model: a client has found the server by then.
    assert told == []


def test_the_first_model_is_told_and_a_later_one_that_fails_changes_nothing(caplog):
    app = make_app()
    ready = threading.Event()
    with served.service() as service:
        models = [service]
        loading = Loading(
            app, models.pop, ready=ready.set, failed=ready.clear, most_seconds=WAIT_SECONDS
        )
        loading.start()
        assert ready.wait(WAIT_SECONDS)
        assert service_of(app) is service
        loading.start()
        until = time.monotonic() + WAIT_SECONDS
        while "not loaded anew: pop from empty list" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert service_of(app) is service
        loading.finish()
        assert service_of(app) is None


def test_a_first_model_that_fails_ends_the_server():
    def load():
        raise ValueError("no such file")

    failed = threading.Event()
    loading = Loading(make_app(), load, ready=print, failed=failed.set, most_seconds=WAIT_SECONDS)
    loading.start()
    assert failed.wait(WAIT_SECONDS)
    with pytest.raises(ValueError, match="no such file"):
        loading.finish()
