"""Tokenizers of GGUF files."""

import pytest

pytest.importorskip("gguf", reason="needs the extra foundation")
pytest.importorskip("tokenizers", reason="needs the extra foundation")

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import Sequence, Split

from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.convert.gguf_tokenizer import WORDS, gguf_tokenizer
from hrm_jax.core.config import ConfigError
from hrm_jax.core.protocols import InfillingTokens
from hrm_jax.data.text.wrapped_tokenizer import WrappedTokenizer
from hrm_jax.models.llama import LlamaConfig
from tests.hrm_jax.convert.gguf_files import TOKENS, write_gguf
from tests.hrm_jax.data.text import sentencepieces
from tests.hrm_jax.data.text.sentencepieces import by_definition

CONFIG = LlamaConfig(vocab_size=len(TOKENS))


@pytest.fixture
def read(tmp_path):
    """From changed metadata to the tokenizer."""

    def tokenizer(**changes) -> WrappedTokenizer:
        metadata = {f"tokenizer.ggml.{name}": value for name, value in changes.items()}
        write_gguf(tmp_path / "model.gguf", CONFIG, {}, metadata=metadata)
        return gguf_tokenizer(GgufFile(tmp_path / "model.gguf"))

    return tokenizer


def pieces(tokenizer: WrappedTokenizer, text: str) -> list[str]:
    return [tokenizer.token_bytes(token).decode() for token in tokenizer.encode(text)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("smollm", ["ab", " ab", " ", "1", "2", "c"]),
        ("default", ["ab", " ab", " ", "12", "c"]),
        ("gpt-2", ["ab", " ab", " ", "12", "c"]),
        ("llama-bpe", ["ab", " ab", " ", "12", "c"]),
        ("qwen2", ["ab", " ab", " ", "1", "2", "c"]),
    ],
)
def test_words_are_cut_by_the_rule_that_the_file_names(read, words, expected):
    assert pieces(read(pre=words), "ab ab 12c") == expected


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("llama3", "llama-bpe"),
        ("lfm2", "llama-bpe"),
        ("mellum", "gpt-2"),
        ("refact", "smollm"),
        ("deepseek-r1-qwen", "qwen2"),
    ],
)
def test_rules_have_other_names(read, words, known):
    found = read(pre=words)
    expected = read(pre=known)
    assert pieces(found, "ab ab 12c") == pieces(expected, "ab ab 12c")
    assert found.bos_token == expected.bos_token


CUT = "Wörter im Satz, x+=1234; 'quoted'\t語学ab\n\n  def HTMLRow():"


@pytest.mark.parametrize(
    ("words", "expected"),  # with a bar at each cut
    [
        (
            "deepseek-coder",
            "Wörter| im| Satz|,| x|+=|1|2|3|4|;| '|quoted|'|\t|語学|ab|\n|\n| | def| HTMLRow|():",
        ),
        (
            "deepseek-v3",
            "Wörter| im| Satz|,| x|+=|123|4|;| '|quoted|'|\t|語学|ab|\n\n| | def| HTMLRow|():",
        ),
        (
            "seed-coder",
            "Wörter| im| Satz|,| x|+=|1|2|3|4|;| '|quoted|'|\t語学ab|\n\n| | def| HTMLRow|():",
        ),
        (
            "tekken",
            "Wörter| im| Satz|,| x|+=|1|2|3|4|;| '|quoted|'|\t語学ab|\n\n| | def| HTMLRow|():",
        ),
    ],
)
def test_rules_cut_as_published(words, expected):
    """Expected by the regular expressions of the models' own `tokenizer.json`, read by hand."""
    cuts = [Split(Regex(cut), behavior="isolated") for cut in WORDS[words]]
    parts = [part for part, _ in Sequence(cuts).pre_tokenize_str(CUT)]
    assert "|".join(parts) == expected


def test_the_space_before_a_digit_joins_the_spaces_before_it(read):
    """Digits are cut off first, so two spaces before one are a word of their own."""
    tokens = [*TOKENS, "ĠĠ"]
    changes = {"tokens": tokens, "merges": ["Ġ Ġ"], "token_type": [1] * len(tokens)}
    assert pieces(read(pre="smollm", **changes), "a  1") == ["a", "  ", "1"]
    assert pieces(read(pre="gpt-2", **changes), "a  1") == ["a", " ", " ", "1"]


def test_a_word_that_is_a_token_needs_no_merges_where_words_come_first(read):
    assert pieces(read(pre="llama-bpe", merges=["a b"]), " ab") == [" ab"]
    assert pieces(read(pre="qwen2", merges=["a b"]), " ab") == [" ", "ab"]


def test_control_tokens_are_not_read_from_text_and_end_it(read):
    tokenizer = read()
    assert tokenizer.vocab_size == len(TOKENS)
    assert tokenizer.eos_tokens == (0,)
    assert 0 not in tokenizer.encode("a<|end|>b")
    assert tokenizer.token_bytes(0) == b""
    assert tokenizer.encode("a<|hole|>b") == [2, 1, 3]  # user-defined: a piece of text
    assert tokenizer.token_bytes(1) == b"<|hole|>"


def test_a_beginning_only_where_the_file_asks_for_one(read):
    assert read().bos_token is None
    assert read(add_bos_token=False).bos_token is None
    assert read(add_bos_token=True).bos_token == 1
    assert read(pre="llama-bpe").bos_token == 1  # as llama.cpp takes it
    assert read(pre="llama-bpe", add_bos_token=False).bos_token is None


def test_a_turn_may_end_otherwise(read):
    assert read(eot_token_id=1).eos_tokens == (0, 1)
    assert read(eot_token_id=0).eos_tokens == (0,)


def test_the_usual_ends_are_known(read):
    names = [*TOKENS, "<|eot_id|>", "<|im_end|>", "<|end_of_text|>"]
    kinds = [3, 4] + [1] * (len(TOKENS) - 2) + [3, 4, 1]
    N = len(TOKENS)
    # <|end_of_text|> is a piece of text here, by its kind.
    assert read(tokens=names, token_type=kinds).eos_tokens == (0, N, N + 1)


@pytest.mark.parametrize(
    "keys", [("fim_pre", "fim_suf", "fim_mid"), ("prefix", "suffix", "middle")]
)
def test_marks_of_a_hole_may_be_named_by_number(read, keys):
    assert read().infilling is None
    found = read(**{f"{key}_token_id": token for key, token in zip(keys, (5, 6, 7), strict=True)})
    assert found.infilling == InfillingTokens(5, 6, 7)
    starcoder = [*TOKENS[:5], "<fim_prefix>", *TOKENS[6:]]
    found = read(
        tokens=starcoder, **dict(zip(map("{}_token_id".format, keys), (5, 6, 7), strict=True))
    )
    assert found.infilling == InfillingTokens(5, 6, 7, both_orders=True)
    assert read(**{f"{key}_token_id": 2**32 - 1 for key in keys}).infilling is None
    with pytest.raises(ConfigError, match=f"{keys[0]}_token_id: expected the number of a token"):
        read(**{f"{key}_token_id": 1_000_000 for key in keys})


def test_a_file_without_a_rule_for_words_is_warned_of(read, caplog):
    read(pre="default")
    assert not caplog.records
    assert pieces(read(pre=None), "12") == pieces(read(pre="default"), "12")
    assert "states no tokenizer.ggml.pre" in caplog.text


@pytest.fixture(scope="module")
def all_rules(tmp_path_factory) -> list[WrappedTokenizer]:
    path = tmp_path_factory.mktemp("rules") / "model.gguf"
    found = []
    for words in ("default", "gpt-2", "smollm", "llama-bpe", "qwen2"):
        write_gguf(path, CONFIG, {}, metadata={"tokenizer.ggml.pre": words})
        found.append(gguf_tokenizer(GgufFile(path)))
    return found


@settings(max_examples=40)
@given(text=st.text("ab c12", max_size=12))
def test_pieces_are_the_text_by_every_rule(all_rules, text):
    """Over the alphabet of the vocabulary; a whole one is in `smollm2_test.py`."""
    for tokenizer in all_rules:
        assert "".join(pieces(tokenizer, text)) == text
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "t5"}, r"tokenizer\.ggml\.model: expected 'gpt2', byte.* 'llama', .*, got 't5'"),
        ({"pre": "cuts"}, r"tokenizer\.ggml\.pre: expected one of \('default', .*got 'cuts'"),
        ({"eos_token_id": 99}, r"tokenizer\.ggml\.eos_token_id: expected the number of a token"),
        ({"eos_token_id": None}, r"tokenizer\.ggml\.eos_token_id: expected a value"),
    ],
)
def test_what_is_not_known_is_refused_by_name(read, changes, message):
    with pytest.raises(ConfigError, match=message):
        read(**changes)


SENTENCEPIECE = {
    "model": "llama",
    "pre": None,
    "merges": None,
    "tokens": list(sentencepieces.NAMES),
    "token_type": list(sentencepieces.KINDS),
    "scores": list(sentencepieces.SCORES),
    "eos_token_id": 2,
    "bos_token_id": 1,
}


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory) -> WrappedTokenizer:
    path = tmp_path_factory.mktemp("pieces") / "model.gguf"
    metadata = {f"tokenizer.ggml.{name}": value for name, value in SENTENCEPIECE.items()}
    write_gguf(path, CONFIG, {}, metadata=metadata)
    return gguf_tokenizer(GgufFile(path))


@settings(max_examples=200)
@given(text=st.text("the inrag\né€", max_size=16))
def test_sentencepiece_joins_by_scores(sentencepiece, text):
    assert sentencepiece.encode(text) == by_definition(text)
    assert sentencepiece.begin(text) == [1, *(by_definition(" " + text) if text else [])]
    assert sentencepiece.decode(sentencepiece.encode(text)) == text


def test_sentencepiece_begins_a_text_as_the_file_says(read):
    plain = read(**SENTENCEPIECE, add_space_prefix=False, add_bos_token=False)
    assert plain.bos_token is None
    assert plain.begin("the") == plain.encode("the") == by_definition("the")


def test_sentencepiece_survives_saving(sentencepiece, tmp_path):
    sentencepiece.save(tmp_path)
    loaded = WrappedTokenizer.load(tmp_path)
    for text in ("the thing", " a", "\n  é€"):
        assert loaded.encode(text) == sentencepiece.encode(text)
        assert loaded.begin(text) == sentencepiece.begin(text)
    assert (loaded.bos_token, loaded.eos_tokens) == (1, (2,))


@pytest.mark.oracle
@pytest.mark.parametrize("text", ["the thing", " the", "a\nb", "  her €"])
def test_sentencepiece_is_as_transformers_reads_it(sentencepiece, tmp_path, text):
    transformers = pytest.importorskip("transformers", reason="needs the extra oracle")
    sentencepiece.save(tmp_path)
    published = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert sentencepiece.begin(text)[1:] == published.encode(text, add_special_tokens=False)
    assert published.decode(sentencepiece.begin(text)[1:]) == text
