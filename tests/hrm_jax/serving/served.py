"""A server of a small model, for tests."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
import uvicorn
from fastapi import FastAPI

from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.data.text.chat import ChatTemplate
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.inference.text.batching import RollingBatch
from hrm_jax.inference.text.writing import Writer
from hrm_jax.serving.app import make_app, protected
from hrm_jax.serving.current import set_service
from hrm_jax.serving.engine import Engine
from hrm_jax.serving.protection import Protection
from hrm_jax.serving.service import Service
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

ROOM = 256
NAME = "tiny"
TEMPLATE = ChatTemplate(
    "{% for m in messages %}{{ m.role }}: {{ m.content }}<end>{% endfor %}assistant: "
)


def writer(tokenizer: ByteTokenizer | None = None) -> Writer:
    """A writer whose texts end at their length alone: nothing draws the token that ends them."""
    return Writer(*tiny.hrm_text(), tokenizer or ByteTokenizer(), max_length=ROOM)


def slow_down(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Lets every step of the engines take longer by so many seconds."""
    step = RollingBatch.step

    def slowly(self):
        time.sleep(seconds)
        return step(self)

    monkeypatch.setattr(RollingBatch, "step", slowly)


@contextlib.contextmanager
def service(
    judge: Judge | str = "no sandbox here",
    tokenizer: ByteTokenizer | None = None,
    *,
    rows: int = 2,
    most_waiting: int = 8,
    packages: Sequence[str] = (),
    make_engine: Callable[..., Engine] = Engine,
) -> Iterator[Service]:
    """A service whose engine runs."""
    model, variables = tiny.hrm_text()
    tokenizer = tokenizer or ByteTokenizer()
    loaded = LoadedLanguageModel(model, variables, tokenizer, TEMPLATE, "here")
    engine = make_engine(writer(tokenizer), rows=rows, most_waiting=most_waiting)
    engine.start()
    try:
        yield Service(loaded, NAME, engine, judge, packages)
    finally:
        engine.stop()


@contextlib.contextmanager
def app(**settings) -> Iterator[FastAPI]:
    """An app with such a service."""
    with service(**settings) as one:
        made = make_app()
        set_service(made, one)
        yield made


@contextlib.contextmanager
def server(protection: Protection | None = None, **settings) -> Iterator[str]:
    """A server that listens; yields its URL."""
    with app(**settings) as made, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        guarded = protected(made, protection or Protection())
        one = uvicorn.Server(uvicorn.Config(guarded, log_level="warning"))
        thread = threading.Thread(target=one.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not one.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            one.should_exit = True
            thread.join()
