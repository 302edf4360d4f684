import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.prompts import PromptError, encode_prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer
from hrm_jax.models.hrm_text import HrmText
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

WARM = SamplingConfig(temperature=1.0, top_p=0.9)


def writer(**changes) -> Writer:
    model, variables = tiny.hrm_text()
    tokenizer = changes.pop("tokenizer", ByteTokenizer())
    return Writer(model, variables, tokenizer, **{"batch_size": 2, **changes})


def streamed(writer: Writer, request: Request) -> str:
    return "".join(piece.text for piece in writer.stream(request))


def likeliest(prompt: str, count: int, **masks) -> list[int]:
    """Greedy tokens without a cache, up to an end: the whole text is read anew for each."""
    model, variables = tiny.hrm_text()
    tokens = ByteTokenizer().encode(prompt)
    logits = jax.jit(model.logits)
    for _ in range(count):
        padded = jnp.array([tokens + [0] * (len(prompt) + count - len(tokens))])
        scores = logits(variables, padded, lengths=jnp.array([len(tokens)]), **masks)
        tokens.append(int(scores[0, len(tokens) - 1, : ByteTokenizer.vocab_size].argmax()))
        if tokens[-1] > 255:
            break
    return tokens[len(prompt) :]


def test_greedy_with_a_cache_is_greedy_without():
    expected = ByteTokenizer().decode(likeliest("def f(x):", 24))
    assert writer().complete([Prompt("def f(x):")], seeds=[0], max_tokens=24) == [expected]


def test_a_prompt_that_is_a_prefix_is_seen_in_both_directions():
    types = jnp.array([[1] * 9 + [0] * 24])
    expected = ByteTokenizer().decode(likeliest("def f(x):", 24, token_types=types))
    prefixed = writer(prompts_are_prefixes=True)
    assert prefixed.complete([Prompt("def f(x):")], seeds=[0], max_tokens=24) == [expected]
    assert writer().complete([Prompt("def f(x):")], seeds=[0], max_tokens=24) != [expected]


def test_a_batch_writes_what_each_prompt_alone_would():
    # Rows are refilled: there are more prompts than rows, of different lengths, and one twice.
    prompts = [Prompt("ab" * n) for n in (3, 40, 1, 7, 3, 22, 5)]
    seeds = [5, 1, 2, 3, 4, 1, 6]
    limits = {"stop": ["a", "\x10"], "max_tokens": 40}
    texts = writer(sampling=WARM).complete(prompts, seeds=seeds, **limits)
    stop = ("a", "\x10")
    alone = [
        streamed(writer(), Request(prompt, seed, stop, 40, WARM))
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    assert texts == alone
    assert texts[0] != texts[4]  # the same prompt, another seed


def test_the_seed_makes_the_text():
    def text(seed):
        return writer(sampling=WARM).complete([Prompt("x")], seeds=[seed], max_tokens=20)

    assert text(3) == text(3)
    assert text(3) != text(4)
    assert text(3) == text(3 + 2**32)


def test_settings_may_differ_within_a_batch():
    requests = [Request(Prompt("x"), 3, (), 20, sampling) for sampling in (WARM, SamplingConfig())]
    texts = ["", ""]
    for piece in writer().write(requests):
        texts[piece.request] += piece.text
    assert texts == [streamed(writer(), request) for request in requests]


def endings(writer: Writer, request: Request) -> list[str | None]:
    return [piece.ending for piece in writer.stream(request)]


def test_a_text_says_why_it_is_over():
    greedy = likeliest("hello", 12)
    asked = Request(Prompt("hello"), max_tokens=12)
    first = greedy.index(greedy[7])
    plain = list(writer().stream(asked))
    assert [piece.ending for piece in plain if piece.ending] == ["length"]
    assert plain[-1].ending == "length"
    assert sum(piece.tokens for piece in plain) == 12
    ended = list(writer(tokenizer=ByteTokenizer(eos_tokens=(greedy[7],))).stream(asked))
    assert ended[-1].ending == "end"
    assert sum(piece.tokens for piece in ended) == first + 1
    printable = next(chr(token) for token in greedy if token < 128)
    stopped = dataclasses.replace(asked, stop=(printable,))
    assert endings(writer(), stopped)[-1] == "stop"
    assert printable not in streamed(writer(), stopped)


def test_a_text_that_ends_at_once_gives_its_row_to_the_next():
    end = likeliest("hello", 1)[0]
    ending = writer(tokenizer=ByteTokenizer(eos_tokens=(end,)))
    prompts = [Prompt("hello")] * 5 + [Prompt("other")]
    texts = ending.complete(prompts, seeds=range(6), max_tokens=4)
    assert texts[5] == streamed(ending, Request(Prompt("other"), max_tokens=4))


def test_the_suffix_comes_first_only_where_the_model_knows_it():
    for tokenizer in (ByteTokenizer(), ByteTokenizer(infilling=None)):
        with pytest.raises(ConfigError, match="suffix_first: expected a model that was trained"):
            writer(tokenizer=tokenizer, suffix_first=True)
    marks = dataclasses.replace(tiny.MARKS, both_orders=True)
    assert writer(tokenizer=ByteTokenizer(infilling=marks), suffix_first=True).suffix_first


def test_prompts_that_are_too_long_have_no_completion():
    prompts = [Prompt("x" * 12), Prompt("def"), Prompt("x" * 40)]
    texts = writer(max_length=12).complete(prompts, seeds=range(3), max_tokens=4)
    (alone,) = writer(max_length=12).complete(prompts[1:2], seeds=[1], max_tokens=4)
    assert texts == [None, alone, None]
    assert writer(max_length=12).complete(prompts[:1], seeds=[0]) == [None]


def test_a_text_ends_where_max_length_does():
    pieces = list(writer(max_length=12).stream(Request(Prompt("x" * 10), max_tokens=100)))
    assert sum(piece.tokens for piece in pieces) == 2
    assert pieces[-1].ending == "length"


def test_a_hole_is_filled():
    filled = writer().complete([Prompt("a", suffix="b")], seeds=[0], max_tokens=5)
    assert filled != writer().complete([Prompt("a")], seeds=[0], max_tokens=5)


class EndingAt(ByteTokenizer):
    """Takes some bytes for ends, which have no text."""

    def token_bytes(self, token):
        return b"" if token in self.eos_tokens else super().token_bytes(token)


def test_a_hole_that_cannot_be_empty_is_filled_once_more():
    holes = [Prompt("x = ", suffix="\n"), Prompt("x = 1", suffix="\n")]
    # What is written first to each ends a text from now on: a character of two bytes, and two.
    read = [tuple(encode_prompt(ByteTokenizer(), hole).tokens) for hole in holes]
    first = [streamed(writer(), Request(Prompt("", tokens=one), max_tokens=2)) for one in read]
    ends = tuple("".join(first).encode())
    ending = writer(tokenizer=EndingAt(eos_tokens=(tiny.END, *ends)))
    alone = [streamed(ending, Request(hole, max_tokens=8)) for hole in holes]
    assert alone[0]
    assert alone[1] == ""
    assert ending.complete(holes, seeds=[0, 0], max_tokens=8) == alone


@dataclasses.dataclass(frozen=True)
class Watched:
    """A model that notes every program that is made of it."""

    model: HrmText
    programs: ClassVar[list[tuple]] = []

    @property
    def vocab_size(self):
        return self.model.vocab_size

    def init(self, key):
        return self.model.init(key)

    def logits(self, variables, tokens, **masks):
        return self.model.logits(variables, tokens, **masks)

    def prefill(self, variables, tokens, *, room, **masks):
        if tokens.shape[1] > 1:  # else only shapes are asked for
            self.programs.append(("prefill", *tokens.shape, room))
        return self.model.prefill(variables, tokens, room=room, **masks)

    def empty_cache(self, B, room):
        return self.model.empty_cache(B, room)

    def extend(self, variables, tokens, cache, counts):
        self.programs.append(("extend", *tokens.shape, cache.room))
        return self.model.extend(variables, tokens, cache, counts)

    def decode(self, variables, tokens, cache):
        self.programs.append(("decode", *tokens.shape, cache.room))
        return self.model.decode(variables, tokens, cache)


def test_programs_are_few_whatever_is_asked():
    model, variables = tiny.hrm_text()
    watched = Watched(model)
    watching = Writer(watched, variables, ByteTokenizer(), batch_size=2)
    for length in (1, 5, 17, 31, 32, 33, 47, 48):
        for max_tokens, sampling in ((9, WARM), (40, SamplingConfig())):
            request = Request(Prompt("x" * length), length, (), max_tokens, sampling)
            assert streamed(watching, request)
            watching.complete([request.prompt] * 3, seeds=range(3), max_tokens=max_tokens)
    made = [("prefill", 1, 32, 128), ("prefill", 1, 48, 128)]
    made += [("decode", B, 1, 128) for B in (1, 2)]
    assert sorted(set(watched.programs)) == sorted(made)
    readings = [program for program in watched.programs if program[0] != "decode"]
    assert sorted(readings) == sorted(set(readings))
    # A loop is traced more than once; `write` is compiled once for each batch.
    again = len(watched.programs)
    streamed(watching, Request(Prompt("other"), 77, ("a",), 60, WARM))
    assert len(watched.programs) == again


def test_prompts_are_checked_before_anything_is_written():
    long = Prompt("x" * 12)
    with pytest.raises(PromptError, match="fewer than 12 tokens, got 12; shorten it"):
        writer(max_length=12).write([Request(Prompt("a")), Request(long)])
    with pytest.raises(ValueError, match="max_tokens: expected 1 or more, got 0"):
        writer().stream(Request(Prompt("a"), max_tokens=0))
    with pytest.raises(ValueError, match="stop sequences of a character or more"):
        writer().complete([Prompt("a")], seeds=[0], stop=[""])
    with pytest.raises(ValueError, match="shorter"):
        writer().complete([Prompt("a")], seeds=[], stop=[])


def test_nothing_asked_is_nothing_written():
    assert writer().complete([], seeds=[]) == []
    assert np.size(list(writer().write([]))) == 0
