"""What a function does on inputs, as texts that are equal where the behaviour is."""

import pytest

from hrm_jax.evaluation.judge.inside import behave


def told(body, inputs=("1",)):
    return behave.behaviour(f"def f(x=None):\n    {body}\n", "f", list(inputs))


SAME = {
    "floats": ("return 0.1 + 0.2", "return 0.3"),
    "sets": ("return {'a', 'b', 'c'}", "return set('cba')"),
    "keys": ("return {1: 2, 3: 4}", "return {3: 4, 1: 2}"),
    "generators": ("yield 1", "return iter([1])"),
    "objects": ("return object()", "return object()"),
    "errors": ("raise ValueError('a')", "raise ValueError('b')"),
}
OTHER = {
    "types": ("return 1", "return '1'"),
    "bools": ("return 1", "return True"),
    "tuples": ("return [1]", "return (1,)"),
    "errors": ("raise ValueError", "raise KeyError"),
    "prints": ("print(1)", "print(2)"),
    "orders": ("return [1, 2]", "return [2, 1]"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_the_same(one, other):
    assert told(one) == told(other)


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER)
def test_not_the_same(one, other):
    assert told(one) != told(other)


def test_arguments_are_made_anew_for_each_call():
    assert (
        told("x.append(1)", ["[]", "[]"]) == ["NoneType None | list(list(list(1)), list()) | "] * 2
    )
    assert told("return x", ["x=2"]) == ["int 2 | list(list(), list(tuple('x', 2))) | "]


def test_a_program_that_does_not_run():
    assert behave.behaviour("x = ", "f", ["1", "2"]) == ["no function: SyntaxError"] * 2
    assert behave.behaviour("x = 1", "f", ["1"]) == ["no function: KeyError"]


def test_a_call_that_never_ends(monkeypatch):
    import signal

    monkeypatch.setattr(behave, "CALL_SECONDS", 0.05)
    was = signal.signal(signal.SIGALRM, behave._stop)
    try:
        assert told("while True: pass") == ["raises TimeoutError | list(list(1), list()) | "]
    finally:
        signal.signal(signal.SIGALRM, was)
