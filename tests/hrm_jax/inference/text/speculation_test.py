"""Speculative decoding writes the texts that are written without it, in fewer passes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrm_kernels
from hrm_jax.core.config import ConfigError
from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text import speculation
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.speculation import LEAST_MATCH, MOST_MATCH, propose, width_of
from hrm_jax.inference.text.writing import Writer
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

PLAIN = ByteTokenizer()
WARM = SamplingConfig(temperature=0.3, top_k=5)
PROMPTS = ["def f(x):\n    return x\n" * 3, "abcabcabcabc", "x", "1, 2, 3, 4, 1, 2, 3, 4, 1, 2, "]
needs_kernel = pytest.mark.skipif(
    hrm_kernels.refuses_quantized() is not None, reason="no C++ compiler"
)


def proposed(text: list[int], count: int) -> list[int]:
    """The oracle: the longest match that stood before, and of equals the last."""
    best = 0
    found = []
    for end in range(1, len(text)):
        match = 0
        while match < min(MOST_MATCH, end) and text[end - 1 - match] == text[-1 - match]:
            match += 1
        if match >= max(best, LEAST_MATCH):
            best = match
            found = text[end : end + count]
    return found


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=24), st.booleans())
def test_what_followed_the_longest_match_is_proposed(text, wanted):
    # What lies behind a text is of another one, and must not be found.
    texts = np.array([text + [2] * (25 - len(text)), [0] * 25], np.int32)
    last = np.array([len(text) - 1, 0])
    tokens, counts = jax.jit(propose, static_argnums=3)(texts, last, np.array([wanted, True]), 4)
    expected = proposed(text, 4) if wanted else []
    assert counts.tolist() == [len(expected), 0]
    assert tokens[0, : len(expected)].tolist() == expected


def writer(model, tokenizer: ByteTokenizer = PLAIN, speculate: int | None = 0) -> Writer:
    model, variables = model()
    return Writer(model, variables, tokenizer, batch_size=2, speculate=speculate)


def written(writer: Writer, requests: list[Request]) -> list[tuple[str, int, str | None]]:
    """The text of each request, its number of tokens and why it is over."""
    pieces = list(writer.write(requests))
    found = []
    for number in range(len(requests)):
        mine = [piece for piece in pieces if piece.request == number]
        text = "".join(piece.text for piece in mine)
        found.append((text, sum(piece.tokens for piece in mine), mine[-1].ending))
    return found


@pytest.fixture
def passes(monkeypatch):
    """The number of tokens of each call of the speculating program, and of its passes."""
    calls = []
    write = speculation.write

    def noted(*args, **options):
        rows, found = write(*args, **options)
        tokens = np.array(found.tokens) >= 0
        calls.append((int(tokens.sum()), int(tokens.any((0, 2)).sum())))
        return rows, found

    monkeypatch.setattr(speculation, "write", noted)
    return calls


@needs_kernel
def test_texts_are_those_written_without(passes):
    # The last prompt fills the room to its end.
    prompts = [*PROMPTS, "ab" * 50]
    greedy = [Request(Prompt(prompt), max_tokens=28) for prompt in prompts]
    warm = [dataclasses.replace(request, seed=3, sampling=WARM) for request in greedy]
    for requests in (warm, greedy):
        passes.clear()
        expected = written(writer(tiny.quantised_llama), requests)
        assert not passes
        assert written(writer(tiny.quantised_llama, speculate=None), requests) == expected
    tokens, steps = map(sum, zip(*passes, strict=True))
    assert tokens == 5 * 27
    # Without, two rows need three times 27 passes for five texts.
    assert steps < 70


@needs_kernel
def test_ends_and_stop_sequences_end_a_text_as_they_do_without():
    request = Request(Prompt(PROMPTS[0]), max_tokens=60)
    ((text, *_),) = written(writer(tiny.quantised_llama), [request])
    # What comes first only after some tokens, in a text that repeats itself.
    end = max(filter(str.isascii, text), key=text.index)
    for eos_tokens, stop in (((ord(end),), ()), ((tiny.END,), (end,))):
        tokenizer = ByteTokenizer(eos_tokens=eos_tokens)
        requests = [dataclasses.replace(request, stop=stop)] * 2
        expected = written(writer(tiny.quantised_llama, tokenizer), requests)
        assert expected[0][2] == ("stop" if stop else "end")
        found = written(writer(tiny.quantised_llama, tokenizer, None), requests)
        # A text that the host ends at a stop sequence may have more tokens behind it.
        assert [one[::2] for one in found] == [one[::2] for one in expected]


def test_where_the_best_two_are_far_apart_any_model_writes_the_same():
    """In float32 texts part only where two tokens are all but equally likely: hardly ever."""
    bound = 1e-4
    model, variables = tiny.hrm_text()
    assert writer(tiny.hrm_text, speculate=None).speculate == 0
    requests = [Request(Prompt(prompt), max_tokens=28) for prompt in PROMPTS]
    expected = written(writer(tiny.hrm_text), requests)
    found = written(writer(tiny.hrm_text, speculate=3), requests)
    parted = 0
    for request, (ours, *_), (theirs, *_) in zip(requests, found, expected, strict=True):
        if ours != theirs:
            parted += 1
            differs = [a != b for a, b in zip(ours, theirs, strict=False)]
            text = PLAIN.encode(request.prompt.prefix + ours[: differs.index(True)])
            best = np.sort(model.logits(variables, jnp.array([text]))[0, -1])
            assert best[-1] - best[-2] < bound
    assert parted <= 1


def test_rows_share_what_a_pass_takes():
    assert [width_of(7, B) for B in (1, 2, 4, 8, 16)] == [7, 3, 1, 0, 0]
    assert [width_of(2, B) for B in (1, 2, 4)] == [2, 2, 1]
    assert width_of(0, 1) == 0


def test_a_number_below_zero_is_refused():
    with pytest.raises(ConfigError, match=r"speculate.*got -1"):
        writer(tiny.hrm_text, speculate=-1)
