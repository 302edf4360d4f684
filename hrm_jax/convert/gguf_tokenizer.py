"""The tokenizer of a GGUF file: byte-level BPE, with words cut as its model was trained on.

How words are cut is not in the file, only a name for it; each name here is known to mean a rule
(the `pre_tokenizer` of the published `tokenizer.json`, and llama.cpp's `unicode_regex_split`).
"""

from typing import TYPE_CHECKING, Any

from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.core.config import check
from hrm_jax.data.text.wrapped_tokenizer import WrappedTokenizer

if TYPE_CHECKING:
    import tokenizers

_CONTROL, _USER_DEFINED = 3, 4
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORDS = {  # each rule cuts what the one before has left in one piece
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (_LLAMA3,),
    "qwen2": (_LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),),
}
_WHOLE_WORDS_FIRST = ("llama-bpe",)  # a word that is a token is not put together from parts
_NORMALISED = ("qwen2",)  # to NFC


def gguf_tokenizer(file: GgufFile) -> WrappedTokenizer:
    """The tokenizer that is in a file.

    Raises:
      ConfigError: it is of another kind than byte-level BPE, or cuts words by a rule that is not
        known, or says no token that ends a text.
      ImportError: the package `tokenizers` is not installed.
    """
    model, words = file.get("tokenizer.ggml.model"), file.get("tokenizer.ggml.pre", "default")
    check(
        model == "gpt2",
        "tokenizer.ggml.model",
        expected="'gpt2', byte-level BPE",
        got=model,
        remedy="load the model as a folder with its tokenizer.json",
    )
    check(
        words in _WORDS,
        "tokenizer.ggml.pre",
        expected=f"one of {tuple(_WORDS)}",
        got=words,
        remedy="load the model as a folder with its tokenizer.json",
    )
    names = file.get("tokenizer.ggml.tokens")
    ends = [names[file.get("tokenizer.ggml.eos_token_id")]]
    if file.has("tokenizer.ggml.eot_token_id"):
        ends.append(names[file.get("tokenizer.ggml.eot_token_id")])
    begins = file.has("tokenizer.ggml.add_bos_token") and file.get("tokenizer.ggml.add_bos_token")
    return WrappedTokenizer(
        _tokenizer(file, words, names),
        eos_tokens=list(dict.fromkeys(ends)),
        bos_token=names[file.get("tokenizer.ggml.bos_token_id")] if begins else None,
    )


def _tokenizer(file: GgufFile, words: str, names: list[str]) -> "tokenizers.Tokenizer":
    import tokenizers
    from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

    pairs = [tuple(merge.split(" ", 1)) for merge in file.get("tokenizer.ggml.merges")]
    vocabulary = {name: token for token, name in enumerate(names)}
    tokenizer: Any = tokenizers.Tokenizer(
        models.BPE(vocabulary, pairs, ignore_merges=words in _WHOLE_WORDS_FIRST)
    )
    cuts = [
        pre_tokenizers.Split(tokenizers.Regex(rule), behavior="isolated") for rule in _WORDS[words]
    ]
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cuts, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    if words in _NORMALISED:
        tokenizer.normalizer = normalizers.NFC()
    kinds = file.get("tokenizer.ggml.token_type", [])
    added = [
        AddedToken(name, normalized=False, special=kind == _CONTROL)
        for name, kind in zip(names, kinds, strict=False)
        if kind in (_CONTROL, _USER_DEFINED)
    ]
    tokenizer.add_tokens([token for token in added if not token.special])
    tokenizer.add_special_tokens([token for token in added if token.special])
    return tokenizer
