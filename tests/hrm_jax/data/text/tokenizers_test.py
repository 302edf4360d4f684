"""Tokenizers: bytes, a trained BPE, and any that `tokenizers` reads."""

import dataclasses
import json

import numpy as np
import pytest
import tokenizers as library
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.data.text import tokenizers
from hrm_jax.data.text.token_bytes import TokenizerError
from hrm_jax.data.text.wrapped_tokenizer import WrappedTokenizer

CODE = "def add(first, second):\n    return first + second\n\n\nprint(add(1234, 5), 'grün')\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.just(CODE)


@pytest.fixture(scope="module")
def trained():
    return tokenizers.train_bpe([CODE, CODE.replace("add", "sum")] * 4, vocab_size=300)


@pytest.fixture(params=["bytes", "bpe"])
def tokenizer(request, trained):
    return {"bytes": tokenizers.ByteTokenizer(), "bpe": trained}[request.param]


@settings(max_examples=60)
@given(text=TEXT)
def test_a_text_comes_back_and_its_pieces_are_its_bytes(trained, text):
    for tokenizer in (tokenizers.ByteTokenizer(), trained):
        tokens = tokenizer.encode(text)
        assert all(0 <= token < tokenizer.vocab_size for token in tokens)
        assert tokenizer.decode(tokens) == text
        assert b"".join(map(tokenizer.token_bytes, tokens)) == text.encode()


def test_names_of_special_tokens_are_ordinary_text(tokenizer):
    text = f"x{tokenizers.END_OF_TEXT}<|fim_middle|>y"
    tokens = tokenizer.encode(text)
    marks = tokenizer.infilling
    assert not set(tokens) & {*tokenizer.eos_tokens, marks.prefix, marks.suffix, marks.middle}
    assert tokenizer.decode(tokens) == text


def test_special_tokens_differ_and_add_nothing(tokenizer):
    marks = tokenizer.infilling
    special = [*tokenizer.eos_tokens, marks.prefix, marks.suffix, marks.middle]
    assert len(set(special)) == 4
    assert max(special) < tokenizer.vocab_size
    assert tokenizer.decode([*special, *tokenizer.encode("ab"), *special]) == "ab"


def test_half_a_character_is_shown_as_broken(tokenizer):
    first = tokenizer.encode("ü")[:1]
    if len(tokenizer.token_bytes(first[0])) == 1:
        assert tokenizer.decode(first) == "\ufffd"
    assert tokenizers.ByteTokenizer().decode([0xC3]) == "\ufffd"


@pytest.mark.parametrize("token", [-1, 10**6])
def test_a_token_outside_the_vocabulary_is_refused(tokenizer, token):
    with pytest.raises(IndexError):
        tokenizer.token_bytes(token)


def test_saving_and_loading(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loaded = tokenizers.load_tokenizer(tmp_path)
    assert type(loaded) is type(tokenizer)
    assert loaded.encode(CODE) == tokenizer.encode(CODE)
    for name in ("vocab_size", "bos_token", "eos_tokens", "infilling"):
        assert getattr(loaded, name) == getattr(tokenizer, name)


def test_a_folder_without_a_tokenizer_says_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected tokenizer\.json"):
        tokenizers.load_tokenizer(tmp_path)


def test_bpe_compresses_and_keeps_digits_apart(trained):
    tokens = trained.encode(CODE)
    assert len(tokens) < 0.5 * len(CODE.encode())
    pieces = [trained.token_bytes(token) for token in tokens]
    assert [p for p in pieces if any(48 <= byte < 58 for byte in p)] == [
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]


def test_training_is_repeatable(tmp_path):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdef"), 4)) for _ in range(400)]  # many equal counts
    for name in ("one", "two"):
        tokenizers.train_bpe(iter(words), vocab_size=400).save(tmp_path / name)
    one, two = ((tmp_path / name / "tokenizer.json").read_text() for name in ("one", "two"))
    assert one == two


def test_a_vocabulary_has_room_for_the_bytes():
    assert tokenizers.train_bpe([], vocab_size=260).vocab_size == 260
    with pytest.raises(ValueError, match="at least 260, for bytes alone, not 259"):
        tokenizers.train_bpe([], vocab_size=259)


def test_a_beginning_is_kept_and_published_configs_are_read(trained, tmp_path):
    trained.save(tmp_path)
    config = {"add_bos_token": True, "bos_token": {"content": tokenizers.END_OF_TEXT}}
    config |= {"eos_token": {"content": "<|fim_middle|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = WrappedTokenizer.load(tmp_path)
    assert (loaded.bos_token,) == trained.eos_tokens
    assert loaded.eos_tokens == (trained.infilling.middle,)
    loaded.save(tmp_path / "again")
    assert WrappedTokenizer.load(tmp_path / "again").bos_token == loaded.bos_token


def test_a_beginning_is_what_the_file_adds_where_the_config_does_not_say(trained, tmp_path):
    """As with Llama 3."""
    trained.save(tmp_path)
    end = {"eos_token": tokenizers.END_OF_TEXT, "bos_token": "<|fim_prefix|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(end))
    assert WrappedTokenizer.load(tmp_path).bos_token is None
    path = tmp_path / "tokenizer.json"
    tokenizer = library.Tokenizer.from_file(str(path))
    tokenizer.post_processor = library.processors.TemplateProcessing(
        single="<|fim_prefix|> $0",
        special_tokens=[("<|fim_prefix|>", trained.infilling.prefix)],
    )
    tokenizer.save(str(path))
    loaded = WrappedTokenizer.load(tmp_path)
    assert loaded.begin("ab") == [trained.infilling.prefix, *loaded.encode("ab")]


FIRST_SPACE, NO_FIRST_SPACE = (
    library.pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    for scheme in ("first", "never")
)
SPACES = [library.normalizers.Prepend("▁"), library.normalizers.Replace(" ", "▁")]


@pytest.mark.parametrize(
    "parts",
    [
        {"normalizer": library.normalizers.Sequence(SPACES)},
        {"normalizer": library.normalizers.Prepend("▁"), "pre_tokenizer": NO_FIRST_SPACE},
        {"pre_tokenizer": FIRST_SPACE},
        {"pre_tokenizer": library.pre_tokenizers.Sequence([FIRST_SPACE])},
    ],
)
def test_a_space_before_every_text_is_at_its_beginning_alone(parts):
    """As with Llama 2: in older files, and in newer ones."""
    names = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "▁a"]
    vocabulary = {name: token for token, name in enumerate(names)}
    bpe = library.models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>", byte_fallback=True)
    library_tokenizer = library.Tokenizer(bpe)
    for name, part in parts.items():
        setattr(library_tokenizer, name, part)
    library_tokenizer.add_special_tokens(["<unk>", "</s>"])
    library_tokenizer.add_tokens([library.AddedToken("▁▁▁", normalized=False)])
    tokenizer = WrappedTokenizer(library_tokenizer, eos_tokens=["</s>"])
    pieces = [tokenizer.token_bytes(token) for token in tokenizer.begin("a a\n")]
    assert pieces == [b" a", b" a", b"\n"]
    assert tokenizer.begin("a") == tokenizer.encode(" a") != tokenizer.encode("a")
    assert tokenizer.decode(tokenizer.encode("ü a")) == "ü a"
    assert tokenizer.token_bytes(tokenizer.vocab_size - 1) == b"   "


def test_a_config_without_an_end_is_refused(trained, tmp_path):
    trained.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ValueError, match="names no eos_token"):
        WrappedTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eos_tokens": True}, "expected a list of names as eos_tokens, got True"),
        ({"eos_tokens": [True]}, "expected a token's name"),
        ({"eos_token": {}}, "expected a token's name"),
        ({"eos_token": {"content": [2]}}, "expected a token's name"),
        ({"eos_token": "a", "bos_token": ["a"]}, "expected a token's name"),
        ({"eos_token": "\ud800"}, "has no token"),
    ],
)
def test_names_that_are_no_texts_are_refused(trained, tmp_path, fields, message):
    trained.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(fields))
    with pytest.raises(TokenizerError, match=message):
        WrappedTokenizer.load(tmp_path)


@pytest.mark.parametrize("number", [None, [[0]], {}, -1, 2**70, "0", 1e300])
def test_a_number_of_an_end_that_is_none_is_no_end(trained, tmp_path, number):
    trained.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": number}))
    with pytest.raises(TokenizerError, match="names no eos_token"):
        WrappedTokenizer.load(tmp_path)


def _words(*names):
    return library.Tokenizer(library.models.WordLevel({n: i for i, n in enumerate(names)}))


def test_vocabularies_that_are_not_of_bytes_are_refused():
    with pytest.raises(ValueError, match="only byte-level"):
        WrappedTokenizer(_words("▁the"), eos_tokens=["▁the"])


def test_unknown_and_missing_ends_are_refused():
    with pytest.raises(ValueError, match="has no token '<end>'"):
        WrappedTokenizer(_words("the"), eos_tokens=["<end>"])
    with pytest.raises(ValueError, match="eos_tokens is empty"):
        WrappedTokenizer(_words("the"), eos_tokens=[])


def test_marks_are_special_even_where_a_published_file_does_not_say_so(tmp_path):
    """Qwen2.5's marks of fill-in-the-middle are ordinary added tokens in its file."""
    tokenizers.train_bpe(["ab ab"], 300).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    published = json.loads(path.read_text())
    for token in published["added_tokens"]:
        token["special"] = False
    path.write_text(json.dumps(published))
    tokenizer = tokenizers.load_tokenizer(tmp_path)
    marks = dataclasses.astuple(tokenizer.infilling) + tokenizer.eos_tokens
    text = "a<|fim_prefix|>b<|fim_suffix|><|endoftext|>"
    assert not set(marks) & set(tokenizer.encode(text))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert {tokenizer.token_bytes(mark) for mark in marks} == {b""}


def test_half_a_character_is_named():
    """JSON's escape sequences can make a text of which UTF-8 has no form."""
    tokenizer = tokenizers.train_bpe(["ab ab"], 300)
    for encode in (tokenizer.encode, tokenizer.begin, tokenizer.encode_marked):
        with pytest.raises(TokenizerError, match=r"half of a pair of surrogates in 'a.ud800"):
            encode("a\ud800")
