"""Token healing against its definition, over small vocabularies in which everything happens."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.healing import (
    MOST_OWED,
    Healed,
    Owed,
    Vocabulary,
    debt,
    pay,
    restrict,
)
from hrm_jax.inference.text.prompts import encode_prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer
from tests.hrm_jax.inference.text import tiny

BYTES = [bytes([letter]) for letter in b"a \xc3\xa9"]
PIECES = st.lists(
    st.binary(min_size=0, max_size=4).map(lambda b: bytes(BYTES[x % 4][0] for x in b))
)
V = 16
# Compiled once: shapes are the same for all vocabularies of V tokens.
restricted = jax.jit(restrict)
paid = jax.jit(pay)


@dataclasses.dataclass(unsafe_hash=True)
class PieceTokenizer(tiny.ByteTokenizer):
    """Tokens of several bytes above the single ones, found by the longest match from the left."""

    vocab_size: int = 300
    longer: tuple[bytes, ...] = (b" ret", b" return", b"return", b"ur", b"\n\n", b"\n    ", b" x")

    def encode(self, text):
        data = text.encode()
        found = []
        while data:
            pieces = [piece for piece in self.longer if data.startswith(piece)]
            longest = max(pieces, key=len, default=data[:1])
            found.append(260 + self.longer.index(longest) if pieces else data[0])
            data = data[len(longest) :]
        return found

    def token_bytes(self, token):
        if token < 260:
            return super().token_bytes(token)
        return dict(enumerate(self.longer, 260)).get(token, b"")


def vocabulary(pieces: list[bytes]) -> tuple[Vocabulary, list[bytes]]:
    """All single bytes, then as many of `pieces` as there is room for."""
    pieces = [*BYTES, *pieces, *[b""] * V][:V]
    return Vocabulary(pieces), pieces


def may_follow(piece: bytes, owed: bytes) -> bool:
    return not owed or (bool(piece) and (piece.startswith(owed) or owed.startswith(piece)))


@settings(max_examples=200, deadline=None)
@given(
    PIECES,
    st.lists(st.integers(0, V - 1), min_size=2, max_size=2),
    st.lists(st.sampled_from(BYTES), max_size=6),
)
def test_what_may_follow_is_found_among_all_tokens(pieces, tokens, owed):
    known, pieces = vocabulary(pieces)
    owed = b"".join(owed)
    rows = jax.tree.map(lambda *x: jnp.concatenate(x), Owed.of(owed, 1), Owed.of())
    logits = jnp.zeros((2, V))
    found = np.asarray(restricted(logits, rows, known.pieces)) == 0
    assert found[0].tolist() == [may_follow(piece, owed) for piece in pieces]
    assert found[1].all()

    after, counts = paid(rows, jnp.array(tokens), known.pieces)
    drawn = pieces[tokens[0]]
    left = int(after.length[0])
    assert bytes(np.asarray(after.text[0, :left])) == owed[len(drawn) :]
    assert counts.tolist() == [not owed or len(drawn) > len(owed), True]
    assert after.spare.tolist() == [int(counts[0]), 0]


@settings(max_examples=200, deadline=None)
@given(PIECES, st.lists(st.integers(0, V - 1), max_size=10), st.integers(0, 2))
def test_the_most_that_may_be_the_beginning_of_a_token_is_taken_back(pieces, tokens, keep):
    known, pieces = vocabulary(pieces)
    taken = 0
    for count in range(1, 9):
        last = [pieces[token] for token in tokens[-count:]]
        if count > len(tokens) - keep or b"" in last:
            break
        text = b"".join(last)
        if any(piece.startswith(text) and piece != text for piece in pieces):
            taken = count
    kept = len(tokens) - taken
    owed = b"".join(pieces[token] for token in tokens[kept:])
    assert known.take_back(tokens, keep) == Healed(tokens[:kept], owed, taken)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=6), st.integers(0, 3), st.lists(st.integers(0, 4), max_size=5))
def test_the_host_counts_what_is_owed_as_the_device_does(text, spare, lengths):
    owed = Owed.of(text, spare)
    pieces = Vocabulary([b"x" * length for length in range(5)]).pieces
    counted = 0
    for length in lengths:
        owed, counts = pay(owed, jnp.array([length]), pieces)
        counted += int(counts[0])
    left = debt(Healed([], text, spare), lengths)
    assert left.text == bytes(owed.text[0, : int(owed.length[0])].tolist())
    assert left.spare == int(owed.spare[0])
    assert left.counted == counted


def test_tokens_are_found_by_their_beginning():
    pieces = Vocabulary([b"a", b"ab", b"", b"abc", b"b", b"x" * 40])
    assert pieces.beginning_with(b"ab").tolist() == [False, True, False, True, False, False]
    assert pieces.beginning_with(b"x" * 32).tolist() == [False] * 5 + [True]


def test_long_texts_and_unknown_bytes_stay():
    long = b"a" * (MOST_OWED + 1)
    known = Vocabulary([*BYTES, long[:-1], long, long + b"b", b"bz", b"bzzz"])
    assert known.take_back([0, 4]) == Healed([0], long[:-1], 1)
    assert known.take_back([0, 5]) == Healed([0, 5])
    # No token is a single z: a text that begins with "b" would be stuck behind it.
    assert known.take_back([0, 7]) == Healed([0, 7])
    # A token beyond the vocabulary, as markers may be.
    assert known.take_back([0, 9]) == Healed([0, 9])


def test_a_prompt_is_healed_where_its_text_ends():
    tokenizer = PieceTokenizer()
    known = writer().vocabulary
    ret = tokenizer.encode(" ret")

    def healed(prompt):
        return encode_prompt(tokenizer, prompt, known)

    assert healed(Prompt("a retu")) == Healed([97], b" retu", 2)
    assert healed(Prompt("a return")) == Healed(tokenizer.encode("a return"))
    assert encode_prompt(tokenizer, Prompt("a retu")).tokens == [97, *ret, 117]
    marked = [tiny.PREFIX, 97, tiny.SUFFIX, 98, tiny.MIDDLE]
    assert healed(Prompt("a retu", "b")) == Healed(marked, b" retu", 2)
    # Blank lines before a hole are the model's to set.
    lines = [tiny.PREFIX, 97, 10, 32, tiny.SUFFIX, 98, tiny.MIDDLE]
    assert encode_prompt(tokenizer, Prompt("a\n \n\n ", "b")).tokens == lines
    assert healed(Prompt(" retu")) == Healed(ret, b"u", 1)  # a token has to stay
    turn = (tiny.END, *tokenizer.encode("\n"))
    assert healed(Prompt("", tokens=turn)) == Healed([tiny.END], b"\n", 1)
    assert healed(Prompt("", tokens=turn, ends_at_token=True)) == Healed(list(turn))
    assert healed(Prompt("", tokens=(*turn, tiny.END))) == Healed([*turn, tiny.END])


def writer(**changes) -> Writer:
    model, variables = tiny.hrm_text()
    return Writer(model, variables, PieceTokenizer(), **{"batch_size": 2, **changes})


def likeliest(prompt: str, count: int) -> bytes:
    """The text of greedy tokens without a cache; each may follow by the definition."""
    model, variables = tiny.hrm_text()
    tokenizer = PieceTokenizer()
    pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    known = writer().vocabulary
    tokens, owed, _ = encode_prompt(tokenizer, Prompt(prompt), known)
    begin = len(tokens)
    logits = jax.jit(model.logits)
    while len(tokens) < begin + count:
        padded = jnp.array([tokens + [0] * (32 - len(tokens))])
        scores = np.array(logits(variables, padded, lengths=jnp.array([len(tokens)])))
        scores = scores[0, len(tokens) - 1, : len(pieces)]
        scores[[not may_follow(piece, owed) for piece in pieces]] = -np.inf
        tokens.append(int(scores.argmax()))
        owed = owed[len(pieces[tokens[-1]]) :]
    return b"".join(pieces[token] for token in tokens[begin:])


@pytest.mark.parametrize("prompt", ["def f(x): retu", "x\n", "a re"])
def test_healed_texts_are_those_of_the_oracle(prompt):
    request = Request(Prompt(prompt), max_tokens=12)
    pieces = list(writer().stream(request))
    text = "".join(piece.text for piece in pieces)
    spelled = likeliest(prompt, sum(piece.tokens for piece in pieces))
    assert (prompt + text).endswith(spelled.decode(errors="replace"))
    unhealed = "".join(piece.text for piece in writer(heal=False).stream(request))
    assert unhealed != text


def test_a_healed_text_does_not_depend_on_its_neighbours():
    warm = SamplingConfig(temperature=1.0)
    prompts = [Prompt("a retu"), Prompt("b"), Prompt("a re"), Prompt("a\n"), Prompt("a retu")]
    asked = {"seeds": [1, 2, 3, 4, 5], "max_tokens": 9}
    together = writer(sampling=warm).complete(prompts, **asked)
    for prompt, seed, text in zip(prompts, asked["seeds"], together, strict=True):
        alone = writer().stream(Request(prompt, seed, max_tokens=9, sampling=warm))
        assert "".join(piece.text for piece in alone) == text


def test_tokens_that_spell_what_was_taken_back_do_not_count():
    for max_tokens in (1, 2, 5):
        pieces = list(writer().stream(Request(Prompt("a retu"), max_tokens=max_tokens)))
        written = sum(piece.tokens for piece in pieces)
        assert max_tokens <= written <= max_tokens + 2
    # As many tokens as are left to the longest text.
    pieces = list(writer(max_length=8).stream(Request(Prompt("a retu"), max_tokens=50)))
    assert 5 <= sum(piece.tokens for piece in pieces) <= 7
