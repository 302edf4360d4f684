import queue
import threading
import time

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.batching import RollingBatch
from hrm_jax.inference.text.prompts import PromptTooLong
from hrm_jax.inference.text.requests import Piece, Request
from hrm_jax.inference.text.writing import Writer
from hrm_jax.serving.engine import Engine, EngineError, QueueFull, TooManyTexts
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

ROOM = 128
LONG = Request(Prompt("x"), max_tokens=ROOM)


def writer() -> Writer:
    return Writer(*tiny.hrm_text(), ByteTokenizer(eos_tokens=(259,)), max_length=ROOM)


@pytest.fixture
def engine():
    one = Engine(writer(), rows=2, most_waiting=2)
    one.start()
    yield one
    one.stop()


def text(pieces) -> str:
    return "".join(piece.text for piece in pieces)


def until(condition) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_texts_of_several_threads_are_what_they_are_alone(engine):
    requests = [Request(Prompt(f"{n}" * n), max_tokens=12) for n in (1, 5, 9, 2)]
    found = {}

    def ask(number):
        found[number] = text(engine.write([requests[number]]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: text(writer().stream(request)) for n, request in enumerate(requests)}
    assert engine.load.tokens == 4 * 12
    assert engine.load == engine.load.__class__(2, 0, 0, 48)


def test_texts_that_are_asked_for_together_have_their_places(engine):
    requests = [Request(Prompt(f"{n}"), max_tokens=6) for n in range(3)]
    texts = ["", "", ""]
    for piece in engine.write(requests):
        texts[piece.request] += piece.text
    assert texts == [text(writer().stream(request)) for request in requests]


def test_more_than_may_wait_are_refused(engine):
    events: queue.SimpleQueue = queue.SimpleQueue()
    leaves = [engine.submit([LONG], events.put) for _ in range(4)]
    with pytest.raises(QueueFull, match="at most 2 texts that wait, got 3; try again later"):
        engine.submit([LONG], events.put)
    for leave in leaves:
        leave()
        leave()  # twice is once
    until(lambda: engine.load.written + engine.load.waiting == 0)
    engine.submit([LONG], events.put)()


def test_more_than_may_ever_wait_are_refused_for_good(engine):
    with pytest.raises(TooManyTexts, match="expected at most 4 texts at once, got 5"):
        engine.submit([LONG] * 5, print)
    engine.submit([LONG] * 4, queue.SimpleQueue().put)()


def test_rows_of_texts_that_are_no_longer_wanted_are_free(engine):
    pieces = engine.write([LONG, LONG])
    next(pieces)
    pieces.close()
    until(lambda: engine.load.written + engine.load.waiting == 0)
    assert text(engine.write([Request(Prompt("y"), max_tokens=3)]))


def test_what_cannot_be_written_is_refused_where_it_is_asked_for(engine):
    with pytest.raises(PromptTooLong):
        engine.submit([LONG, Request(Prompt("x" * ROOM))], lambda event: None)
    assert engine.load.waiting == 0


def test_a_failure_ends_the_texts_and_not_the_engine(engine, monkeypatch):
    def broken(self):
        raise MemoryError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("hrm_jax.inference.text.batching.RollingBatch.step", broken)
        with pytest.raises(EngineError, match="MemoryError: no room"):
            list(engine.write([LONG]))
    assert text(engine.write([Request(Prompt("y"), max_tokens=3)]))


def test_a_failure_as_a_text_is_left_does_not_end_the_engine_either(engine, monkeypatch):
    def fail(self, number):
        raise KeyError(number)

    events: queue.SimpleQueue = queue.SimpleQueue()
    with monkeypatch.context() as patch:
        patch.setattr(RollingBatch, "leave", fail)
        leave = engine.submit([LONG] * 2, events.put)
        events.get()
        leave()
        until(lambda: engine.load.written + engine.load.waiting == 0)
    assert text(engine.write([Request(Prompt("y"), max_tokens=3)]))


def test_stopping_waits_for_the_texts_that_are_asked_for():
    one = Engine(writer(), rows=1, most_waiting=4)
    one.start()
    events: queue.SimpleQueue = queue.SimpleQueue()
    one.submit([Request(Prompt("x"), max_tokens=4)] * 2, events.put)
    one.stop(seconds=100)
    came = [events.get() for _ in range(events.qsize())]
    assert sum(piece.ending is not None for piece in came if isinstance(piece, Piece)) == 2


def stopping(engine: Engine) -> threading.Thread:
    thread = threading.Thread(target=engine.stop, args=(100,))
    thread.start()
    return thread


def test_a_request_that_began_may_ask_while_the_engine_ends():
    one = Engine(writer(), rows=1, most_waiting=4)
    one.start()
    leave = one.use()
    thread = stopping(one)
    for _ in range(2):  # a text that is over does not end it either
        assert text(one.write([Request(Prompt("x"), max_tokens=4)]))
    assert thread.is_alive()
    leave()
    thread.join(60)
    assert not thread.is_alive()


def test_an_engine_that_has_ended_says_so():
    one = Engine(writer(), rows=1, most_waiting=4)
    one.start()
    one.stop()
    with pytest.raises(EngineError, match="the server was stopped"):
        list(one.write([LONG]))
    with pytest.raises(EngineError, match="the server was stopped"):
        one.use()


def test_no_text_is_lost_where_the_engine_ends_as_it_is_asked_for():
    for _ in range(30):
        one = Engine(writer(), rows=1, most_waiting=4)
        one.start()
        thread = stopping(one)
        try:
            pieces = list(one.write([Request(Prompt("x"), max_tokens=1)]))
        except EngineError:
            pieces = None
        thread.join(60)
        assert pieces is None or pieces[-1].ending == "length"


def test_stopping_at_once_tells_those_who_wait():
    one = Engine(writer(), rows=1, most_waiting=4)
    events: queue.SimpleQueue = queue.SimpleQueue()
    one.submit([LONG] * 2, events.put)
    one.start()
    events.get()
    one.stop()
    came = [events.get() for _ in range(events.qsize())]
    assert any(isinstance(event, EngineError) for event in came)


def test_a_text_whose_time_is_over_ends_where_it_is():
    engine = Engine(writer(), rows=2, most_waiting=2, most_seconds=0.0)
    engine.start()
    try:
        pieces = list(engine.write([LONG] * 3))
        assert {piece.request for piece in pieces if piece.ending == "length"} == {0, 1, 2}
        whole = text(writer().stream(LONG))
        for number in range(3):
            begin = text(piece for piece in pieces if piece.request == number)
            assert whole.startswith(begin)
            assert len(begin) < len(whole)
        until(lambda: engine.load.written + engine.load.waiting == 0)
    finally:
        engine.stop()
