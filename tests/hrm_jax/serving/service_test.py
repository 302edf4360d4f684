"""What a service does for clients that go before they have an answer."""

import asyncio
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.serving import service
from hrm_jax.serving.messages import Verify
from hrm_jax.serving.refusals import EngineError, QueueFull
from hrm_jax.serving.service import Service

REQUEST = Request(Prompt("x"))


class SlowEngine:
    """An engine whose `submit` waits until it is told, and then accepts or refuses."""

    batch_size = 2

    def __init__(self, error=None):
        self.entered = threading.Event()
        self.accepts = threading.Event()
        self.left = threading.Event()
        self._error = error

    def fits(self, request):
        return True

    def submit(self, requests, deliver):
        self.entered.set()
        assert self.accepts.wait(10)
        if self._error:
            raise self._error
        return self.left.set


def service_of(engine):
    return Service(types.SimpleNamespace(), "tiny", engine, "no sandbox here")  # pyright: ignore


async def begin(engine):
    """Starts to write, and returns the task when the engine's `submit` has begun."""
    writing = asyncio.ensure_future(anext(service_of(engine).write([REQUEST])))
    assert await asyncio.to_thread(engine.entered.wait, 10)
    return writing


@pytest.mark.anyio
async def test_texts_of_a_client_that_goes_while_they_are_accepted_are_left():
    engine = SlowEngine()
    writing = await begin(engine)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not engine.left.is_set()
    engine.accepts.set()
    assert await asyncio.to_thread(engine.left.wait, 10)


@pytest.mark.anyio
async def test_a_refusal_after_the_client_has_gone_is_no_error_of_the_server():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    engine = SlowEngine(QueueFull("too many"))
    writing = await begin(engine)
    writing.cancel()
    engine.accepts.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await asyncio.sleep(0.1)
    assert not told
    assert not engine.left.is_set()


@pytest.mark.anyio
async def test_searches_do_not_keep_others_waiting(monkeypatch):
    """However few threads asyncio has for all that blocks."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    begun = threading.Semaphore(0)
    over = threading.Event()

    def slow(*_):
        begun.release()
        assert over.wait(10)

    monkeypatch.setattr(service.search, "search", slow)
    engine = SlowEngine()
    loaded = types.SimpleNamespace(conversation=None)
    one = Service(loaded, "tiny", engine, types.SimpleNamespace())  # pyright: ignore
    asked = Verify(tests="assert f() == 1")
    searches = [asyncio.ensure_future(one.verify(REQUEST, asked, None)) for _ in range(3)]
    for _ in range(2):
        async with asyncio.timeout(10):
            while not begun.acquire(blocking=False):
                await asyncio.sleep(0.01)
    assert await asyncio.wait_for(asyncio.to_thread(len, "other"), 10) == 5
    # As many as there are rows.
    await asyncio.sleep(0.1)
    assert not begun.acquire(blocking=False)
    for search in searches:
        search.cancel()
    over.set()
    for search in searches:
        with pytest.raises(asyncio.CancelledError):
            await search


def test_what_nobody_waits_for_is_not_written():
    counted = service._Counted(SlowEngine())  # pyright: ignore[reportArgumentType]
    counted.leave()
    with pytest.raises(EngineError, match="the client has gone"):
        list(counted.write([REQUEST]))


@pytest.fixture
def anyio_backend():
    return "asyncio"
