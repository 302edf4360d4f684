"""Texts that join and leave a batch are what they are alone."""

import dataclasses
import random

import pytest

import hrm_kernels
from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text import reading, session, speculation
from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text.batching import RollingBatch
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

ROOM = 256
WARM = SamplingConfig(temperature=1.0, top_p=0.9)
MODELS = [
    tiny.hrm_text,
    pytest.param(
        tiny.quantised_llama,
        marks=pytest.mark.skipif(
            hrm_kernels.refuses_quantized() is not None, reason="no C++ compiler"
        ),
    ),
]


def writer(model) -> Writer:
    return Writer(*model(), ByteTokenizer(), max_length=ROOM)


def request(number: int) -> Request:
    """Long and short prompts, greedy and not, with stops."""
    prompt = Prompt(f"{number} abcabc" * (1 + 7 * (number % 4)))
    sampling = WARM if number % 3 else SamplingConfig()
    return Request(prompt, number, ("\x10",), 4 + 5 * (number % 5), sampling)


def alone(ours: Writer, number: int) -> str:
    """What is written in a batch of one."""
    batch = RollingBatch(ours, rows=1, room=ROOM)
    batch.add(ours.job(number, request(number)))
    text = ""
    while batch.busy:
        text += "".join(piece.text for piece in batch.step())
    return text


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("model", MODELS)
def test_texts_that_join_and_leave_are_what_they_are_alone(model, monkeypatch):
    # A token in each step, however fast the machine is.
    monkeypatch.setattr(session, "_BLOCK_SECONDS", 0.0)
    ours = writer(model)
    batch = RollingBatch(ours, rows=2, room=ROOM)
    draw = random.Random(0)
    texts = {}
    over = {}
    left = set()
    number = 0
    while number < 12 or batch.busy:
        if number < 12 and draw.random() < 0.5:
            batch.add(ours.job(number, request(number)))
            texts[number] = ""
            number += 1
        if texts and draw.random() < 0.1:
            gone = draw.choice(sorted(texts))
            batch.leave(gone)
            left.add(gone)
        for piece in batch.step():
            assert piece.request not in left
            assert piece.request not in over
            texts[piece.request] += piece.text
            if piece.ending:
                over[piece.request] = piece.ending
    assert over.keys() | left == set(range(12))
    assert left - over.keys()
    assert len(over) >= 4
    other = writer(model)
    for one in over:
        assert texts[one] == alone(other, one), one
    assert batch.written == 0
    assert batch.waiting == 0


@pytest.mark.skipif(hrm_kernels.refuses_quantized() is not None, reason="no C++ compiler")
def test_a_long_prompt_is_read_between_what_others_write(monkeypatch):
    monkeypatch.setattr(reading, "CHUNKS", (16,))
    ours = writer(tiny.quantised_llama)
    batch = RollingBatch(ours, rows=2, room=ROOM)
    batch.add(ours.job(0, Request(Prompt("x"), max_tokens=200)))
    while not batch.written:
        list(batch.step())
    batch.add(ours.job(1, Request(Prompt("y" * 100), max_tokens=4)))
    came = [[piece.request for piece in batch.step()] for _ in range(3)]
    assert came == [[0]] * 3
    assert (batch.waiting, batch.written) == (1, 1)
    # One that goes while it is read leaves what was read behind.
    batch.leave(1)
    assert (batch.waiting, batch.written) == (0, 1)
    known = ours.reader._readings.take([ord("y")] * 100, ROOM)
    assert known is not None
    assert known.tokens == [ord("y")] * 48


def test_who_waits_has_a_row_in_the_step_after_it_is_free():
    ours = writer(tiny.hrm_text)
    batch = RollingBatch(ours, rows=1, room=ROOM)
    for number in range(2):
        batch.add(ours.job(number, Request(Prompt("x"), max_tokens=4)))
    pieces = []
    while not any(piece.ending for piece in pieces):
        pieces = list(batch.step())
    assert {piece.request for piece in pieces} == {0}
    assert {piece.request for piece in batch.step()} == {1}


class Nothing:
    """A constraint, and its rules: no token may come, which is seen once it was drawn."""

    def rules(self, prompt, vocabulary):
        return self

    def is_viable(self, text):
        return not text

    def is_complete(self, text):
        return False

    def next_tokens(self, text):
        return None

    def certain(self, text):
        return 0


def test_a_row_whose_first_token_was_refused_is_free_for_the_next_job():
    ours = writer(tiny.hrm_text)
    batch = RollingBatch(ours, rows=1, room=ROOM)
    # Of one prompt, so that the other enters as soon as there is a row: nothing is left to be read.
    batch.add(ours.job(0, dataclasses.replace(request(1), constraint=Nothing())))
    while not batch.written:
        assert all(piece.tokens == 0 for piece in batch.step())
    batch.leave(0)
    batch.add(ours.job(1, request(1)))
    pieces = []
    while batch.busy:
        pieces += batch.step()
    assert sum(piece.tokens for piece in pieces) <= request(1).max_tokens
    assert "".join(piece.text for piece in pieces) == alone(ours, 1) != ""


def test_what_is_unknown_may_leave():
    batch = RollingBatch(writer(tiny.hrm_text), rows=1, room=ROOM)
    batch.leave(7)
    assert not batch.busy
    assert list(batch.step()) == []


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_compiled_once_the_programs_are_prepared(model, monkeypatch):
    """By one, two, three and four texts at once, of which two share a program with four."""
    monkeypatch.setattr(session, "_BLOCK_SECONDS", 0.0)
    ours = writer(model)
    batch = RollingBatch(ours, rows=4, room=ROOM)
    batch.prepare()
    jobs = [ours.job(number, Request(Prompt("x"), max_tokens=12)) for number in range(4)]
    programs = device.write, speculation.write
    sizes = [program._cache_size() for program in programs]
    for job in jobs:
        batch.add(job)
    most = 0
    while batch.busy:
        list(batch.step())
        most = max(most, batch.written)
    assert most == 4
    assert [program._cache_size() for program in programs] == sizes
    # What is prepared writes nothing.
    assert alone(ours, 1) == alone(writer(model), 1)
