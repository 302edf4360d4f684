import os
import signal
import threading

import pytest

from hrm_jax.training.interrupt import GracefulStop


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number):
    with GracefulStop() as stop:
        assert not stop.requested
        assert stop.signal_name is None
        send(number)
        assert stop.requested
        assert stop.signal_name == number.name


def test_a_second_sigint_interrupts():
    with GracefulStop() as stop:
        send(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_sigterm_never_interrupts_and_the_first_signal_is_named():
    with GracefulStop() as stop:
        for _ in range(3):
            send(signal.SIGTERM)
        send(signal.SIGINT)
        assert stop.signal_name == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_handlers_are_restored(number):
    seen = []
    before = signal.signal(number, lambda *_: seen.append(number))
    try:
        with GracefulStop() as stop:
            send(number)
        assert seen == []
        send(number)
        assert seen == [number]
        with pytest.raises(ZeroDivisionError), GracefulStop():
            raise ZeroDivisionError
        send(number)
        assert seen == [number, number]
        assert stop.requested
    finally:
        signal.signal(number, before)


def test_outside_the_main_thread_nothing_is_changed():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    seen = []

    def work():
        with GracefulStop() as stop:
            seen.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]


def test_a_handler_that_python_does_not_know(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda number, handler: installed.append(handler))
    installed = []
    with GracefulStop():
        pass
    assert installed[2:] == [signal.SIG_DFL, signal.SIG_DFL]
