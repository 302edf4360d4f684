"""Constraints on a text: the guard alone, by rules of a few letters, and Python with a model."""

import dataclasses
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.well_formed import parses
from hrm_jax.inference.text.constraints import ConstraintError, Guard
from hrm_jax.inference.text.healing import Healed, Vocabulary
from hrm_jax.inference.text.python_syntax import PythonSyntax
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sampling import Draws, SamplingConfig, sample
from hrm_jax.inference.text.writing import Writer
from tests.hrm_jax.inference.text import tiny

WARM = SamplingConfig(temperature=1.0, top_p=0.9)
PIECES = [b"a", b"b", b"ab", b"\n", b"", b"c", "é".encode()[:1], "é".encode()[1:]]
END = 4
A, B, AB, LINE, _, C, E_1, E_2 = range(8)


class Words:
    """Lines of the letter a, and of b where two a stand before it; complete with a line."""

    def is_viable(self, text):
        return re.fullmatch(rb"(a|aab|\n|\xc3\xa9)*\xc3?", text) is not None

    def is_complete(self, text):
        return text.endswith(b"\n")

    def next_tokens(self, text):
        return None

    def certain(self, text):
        return text.rfind(b"\n") + 1


def guard(**changes) -> Guard:
    return Guard(Words(), Vocabulary(PIECES), (END,), **changes)


def test_tokens_stay_up_to_the_first_that_is_wrong():
    one = guard()
    assert one.allowed() is None
    assert one.add([A, LINE, A, AB, LINE, C, A]) == "a\naab\n"
    assert one.refused
    assert one.tokens == [A, LINE, A, AB, LINE]
    assert one.text == b"a\naab\n"
    assert np.flatnonzero(~one.allowed()).tolist() == [C]
    one.add([AB])
    # All that begins with what is wrong in a token is wrong too.
    assert np.flatnonzero(~one.allowed()).tolist() == [AB, C]
    one.add([B])
    assert np.flatnonzero(~one.allowed()).tolist() == [B, AB, C]


def test_an_end_is_refused_where_the_text_is_not_complete():
    one = guard()
    one.add([A, END])
    assert one.refused
    assert one.ending is None
    assert np.flatnonzero(~one.allowed()).tolist() == [END]
    assert one.add([LINE, END]) == "a\n"
    assert one.ending == "end"


def test_what_is_not_certain_is_left_out_at_the_limit():
    one = guard()
    assert one.add([A, LINE, A, A]) == "a\n"
    assert one.finish() == ("", 2)
    assert one.ending == "length"


def test_a_stop_sequence_ends_a_complete_text_alone():
    one = guard(stop=["a\nb", "\nc"])
    # No word of the rules, but the beginning of a stop sequence after a complete text.
    assert one.add([A, LINE, A, LINE]) == "a\n"
    assert one.add([B]) == ""
    assert one.ending == "stop"
    assert one.text == b"a\n"
    another = guard(stop=["\nc"])
    assert another.add([A, LINE, C]) == "a"
    assert another.refused
    assert another.add([LINE, C]) == "\n"
    assert another.ending == "stop"


def test_a_dead_end_takes_more_and_more_tokens_back():
    one = guard(budget=100)
    one.add([LINE, A, A, A, B])
    places = []
    while one.ending is None:
        allowed = one.allowed()
        # Tokens that no rule allows, as far as any is left.
        wanted = [token for token in (C, B, AB) if allowed is None or allowed[token]]
        one.add(wanted[:1] or [C])
        places.append(len(one.tokens))
    assert one.ending == "length"
    assert min(places) == 1  # What is certain stays.
    assert one.text.startswith(b"\n")


def test_the_text_that_is_owed_is_no_part_of_it():
    one = guard(owed=b"ba")
    one.add([B, AB])
    assert one.refused
    assert one.tokens == [B]
    assert one.add([A, A, LINE]) == "a\n"
    assert one.text == b"a\n"


def test_characters_are_given_whole():
    one = guard()
    assert one.add([A, E_1]) == ""
    assert one.add([E_2, LINE]) == "aé\n"
    assert one.add([E_1]) == ""
    one.add([LINE])
    assert one.refused
    assert one.finish() == ("", 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, len(PIECES) - 1), min_size=1), max_size=12),
    st.lists(st.sampled_from(["\nc", "a\n", "ab"]), max_size=2),
)
def test_how_many_tokens_come_at_once_does_not_matter(chunks, stop):
    """Until one is refused: then the device draws anew."""
    at_once = guard(stop=stop)
    one_by_one = guard(stop=stop)
    tokens = [token for chunk in chunks for token in chunk]
    text = at_once.add(tokens)
    other = ""
    for token in tokens:
        other += one_by_one.add([token])
        if one_by_one.refused or one_by_one.ending:
            break
    assert text == other
    assert at_once.tokens == one_by_one.tokens
    assert at_once.ending == one_by_one.ending
    assert at_once.refused == one_by_one.refused


class PythonTokenizer(tiny.ByteTokenizer):
    """Parts of programs, of which a model of random weights writes some that are right."""

    texts = (
        *(
            "x",
            "y1",
            "f",
            " = ",
            "=",
            "1",
            ".5",
            "\n",
            "\n    ",
            "    ",
            " ",
            ":",
            "):\n",
            "(",
            ")",
        ),
        *("def ", "def f(", "if ", "re", "return ", "urn", "lambda", "for", " in ", "pass", "'a'"),
        *("'", '"', '"""', "[", "]", ", ", ",", " + ", "*", "#", "else", "@", "\\", "print", "é"),
    )
    vocab_size = len(texts) + 1
    eos_tokens = (len(texts),)
    infilling = None

    def __init__(self):
        pass

    def encode(self, text):
        longest = sorted(self.texts, key=len, reverse=True)
        return [
            self.texts.index(part) for part in re.findall("|".join(map(re.escape, longest)), text)
        ]

    def token_bytes(self, token):
        return self.texts[token].encode() if token < len(self.texts) else b""


def writer(**changes) -> Writer:
    model, variables = tiny.hrm_text()
    return Writer(model, variables, PythonTokenizer(), **{"batch_size": 4, **changes})


def request(prompt: str, seed: int, sampling: SamplingConfig = WARM, **changes) -> Request:
    return Request(
        Prompt(prompt), **{"seed": seed, "sampling": sampling, "max_tokens": 24, **changes}
    )


def written(writer: Writer, requests: list[Request]):
    texts = [""] * len(requests)
    endings = [""] * len(requests)
    for piece in writer.write(requests):
        texts[piece.request] += piece.text
        endings[piece.request] = piece.ending
    return texts, endings


PROMPTS = ("def f(x):\n    ", "x = 1\n", "if x:\n    re", '"""')


def test_a_model_of_random_weights_writes_python():
    asked = [
        request(prompt, seed, sampling, constraint=PythonSyntax(), max_tokens=40)
        for seed in range(4)
        for prompt in PROMPTS
        for sampling in (WARM, SamplingConfig())
    ]
    texts, endings = written(writer(), asked)
    for one, text, ending in zip(asked, texts, endings, strict=True):
        whole = one.prompt.prefix + text
        assert parses(whole) or (ending == "length" and not text), whole
    assert len(set(texts)) > 3
    assert not all(parses(text) for text in written(writer(), [*map(freed, asked)])[0])


def freed(asked: Request) -> Request:
    return dataclasses.replace(asked, constraint=None)


@functools.cache
def drawn_after():
    """A function that draws the next token, without a cache."""
    model, variables = tiny.hrm_text()

    def draw(tokens, length, draws, allowed):
        logits = model.logits(variables, tokens[None], lengths=length[None])
        return sample(logits[:, length - 1, : allowed.shape[1]], draws, allowed)[0]

    return jax.jit(draw)


def masked(healed: Healed, prompt: str, seed: int, sampling: SamplingConfig, count: int):
    """Tokens drawn one by one, each among all that leave the text viable."""
    rules = PythonSyntax().rules(Prompt(prompt), Vocabulary([]))
    texts = [text.encode() for text in PythonTokenizer.texts]
    tokens = list(healed.tokens)
    written = b""
    for place in range(count):

        def allows(text: bytes, written=written) -> bool:
            text = written + text
            repeated = min(len(text), len(healed.owed))
            owes = text[:repeated] == healed.owed[:repeated]
            return owes and rules.is_viable(text[repeated:])

        owes_nothing = len(written) >= len(healed.owed)
        may_end = owes_nothing and rules.is_complete(written[len(healed.owed) :])
        allowed = jnp.array([[*map(allows, texts), may_end]])
        draws = Draws.of(sampling, seed)
        draws = dataclasses.replace(draws, drawn=draws.drawn + place)
        padded = jnp.array(tokens + [0] * (64 - len(tokens)))
        token = int(drawn_after()(padded, jnp.int32(len(tokens)), draws, allowed))
        tokens.append(token)
        if token == len(texts):
            break
        written += texts[token]
    return tokens[len(healed.tokens) :]


@pytest.mark.parametrize("heal", [False, True])
def test_drawing_and_checking_draws_what_masked_sampling_would(heal):
    samplings = [WARM, SamplingConfig(), SamplingConfig(1.5, top_k=3)]
    one = writer(heal=heal)
    jobs = [
        one.job(number, request(prompt, number, sampling, constraint=PythonSyntax(), max_tokens=9))
        for number, (prompt, sampling) in enumerate(itertools.product(PROMPTS, samplings))
    ]
    for _ in one._write(jobs):
        pass
    assert heal == any(job.prompt.owed for job in jobs)
    # Where nothing could follow, tokens were taken back, which masked sampling does not do.
    straight = [job for job in jobs if job.guard._back == 1]
    assert len(straight) > 6
    for job in straight:
        asked = job.request
        length = len(job.guard.tokens)
        expected = masked(job.prompt, asked.prompt.prefix, asked.seed, asked.sampling, length)
        assert job.guard.tokens == expected


def test_rows_without_a_constraint_are_left_alone():
    asked = [request(prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    constrained = [request(prompt, 7, constraint=PythonSyntax()) for prompt in PROMPTS]
    mixed = [one for pair in zip(asked, constrained, strict=True) for one in pair]
    texts, _ = written(writer(), mixed)
    assert texts[::2] == written(writer(), asked)[0]
    assert texts[1::2] == written(writer(), constrained)[0]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt("Write a program"), "expected a prompt with which a program in Python may begin"),
        (Prompt("x = ", "\ny = 1"), "expected a prompt without a hole"),
    ],
)
def test_prompts_that_are_no_python_are_refused(prompt, message):
    with pytest.raises(ConstraintError, match=message):
        writer().write([Request(prompt, constraint=PythonSyntax())])


def test_an_answer_is_a_program_of_its_own():
    rules = PythonSyntax(after_prompt=False).rules(Prompt("Write a program"), Vocabulary([]))
    assert rules.is_viable(b"def f(")
    assert not rules.is_viable(b"Here is the program")
    assert not rules.is_viable(b"x = '\xff'")
    assert rules.is_viable("x = 'é".encode()[:-1])
    assert not rules.is_complete("x = 'é".encode()[:-1])


def test_line_ends_may_be_of_any_kind():
    rules = PythonSyntax().rules(Prompt("def f(x):\r\n"), Vocabulary([]))
    assert rules.is_viable(b"    return x\r")
    assert rules.is_complete(b"    return x\r\n")
    assert not rules.is_viable(b"return x\r\n")
    assert rules.certain(b"    return x\r\n    y = ") == 13


def test_a_constraint_and_a_single_line_are_too_much():
    with pytest.raises(ConstraintError, match="either a constraint or a single line"):
        writer().write([request("x", 0, constraint=PythonSyntax(), one_line=True)])
