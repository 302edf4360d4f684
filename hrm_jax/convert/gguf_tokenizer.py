"""The tokenizer of a GGUF file: byte-level BPE ("gpt2"), or SentencePiece's ("llama").

A file of byte-level BPE does not state how text is cut into words, only a name for the rule. The
names known here have their rule from the `pre_tokenizer` of the published `tokenizer.json`, and
from llama.cpp's `unicode_regex_split`. SentencePiece cuts no words: it joins the two neighbours
whose joint token has the highest score, which is what merges in the order of scores do.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.core.config import check
from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import InfillingTokens
from hrm_jax.data.text.token_bytes import TokenizerError
from hrm_jax.data.text.wrapped_tokenizer import BOTH_ORDERS, WrappedTokenizer

if TYPE_CHECKING:
    import tokenizers

_log = logging.getLogger(__name__)

# Values of `tokenizer.ggml.token_type`.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = range(1, 5)
_SPECIAL = (_UNKNOWN, _CONTROL)
_NO_TOKEN = 2**32 - 1
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK_V3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3_NAMES = frozenset(
    ["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"]
)
WORDS = {  # each rule cuts what the one before has left in one piece
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (_LLAMA3,),
    "qwen2": (_LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"),),
    "tekken": (_TEKKEN,),
    "deepseek-coder": (
        r"[\r\n]",
        r"\s?\p{L}+",
        r"\s?\p{P}+",
        r"[\u0800-\u9fa5\uac00-\ud7ff]+",
        r"\p{N}",
    ),
    "deepseek-v3": (r"\p{N}{1,3}", r"[\u4e00-\u9fa5\u3040-\u30ff]+", _DEEPSEEK_V3),
    "seed-coder": (
        _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}").replace(
            r"[^\s\p{L}\p{N}]+[\r\n]*", r"[^\s\p{L}\p{N}\r\n]+"
        ),
    ),
}
_SAME_WORDS = {  # other names of these rules; models that share one may differ in other things
    **dict.fromkeys(
        ["phi-2", "mpt", "olmo", "jais", "trillion", "mellum", "exaone4", "gigachat", "a.x-4.0"],
        "gpt-2",
    ),
    **dict.fromkeys(
        ["starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        "smollm",
    ),
    **dict.fromkeys([*_LLAMA3_NAMES, "smaug-bpe", "dbrx", "chatglm-bpe", "glm4"], "llama-bpe"),
    **dict.fromkeys(
        ["deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "grok-2", "solar-open"],
        "qwen2",
    ),
    "hunyuan-dense": "deepseek-v3",
}
_USUAL_ENDS = frozenset(
    [
        "<|eot_id|>",
        "<|eom_id|>",
        "<|im_end|>",
        "<|end|>",
        "<end_of_turn>",
        "<|end_of_text|>",
        "<|endoftext|>",
    ]
)
"""What ends a turn or a text, by llama.cpp's list: files often name one of several."""
_USES = {
    "bos_token": "bos",
    "eos_token": "eos",
    "unk_token": "unknown",
    "pad_token": "padding",
    "sep_token": "seperator",  # spelt so in the format
}
"""What chat templates call tokens: what the metadata calls them."""
_WHOLE_WORDS_FIRST = {*_LLAMA3_NAMES, "tekken", "glm4"}
"""A word that is a token is not put together from parts."""
_BEGINNING = {*_LLAMA3_NAMES, "tekken"}
"""Texts have a bos_token where the file does not say, as in llama.cpp."""
_NORMALISED = ("qwen2",)  # to NFC, as the model's own tokenizer.json


def gguf_tokenizer(file: GgufFile) -> WrappedTokenizer:
    """Returns the tokenizer that is in a file.

    Raises:
      ConfigError: it is of another kind, cuts words by an unknown rule, or states no token that
        ends a text.
      ImportError: the package `tokenizers` is not installed.
    """
    model = file.get("tokenizer.ggml.model")
    check(
        model in _MAKERS,
        "tokenizer.ggml.model",
        expected="'gpt2', byte-level BPE, or 'llama', SentencePiece's",
        got=model,
        remedy="load the model as a folder with its tokenizer.json",
    )
    names = file.get("tokenizer.ggml.tokens")
    ends = [_named(file, names, "eos")]
    # Models trained on conversations end a turn with a token of its own.
    if _states(file, "eot"):
        ends.append(_named(file, names, "eot"))
    kinds = file.get("tokenizer.ggml.token_type", [])
    # A file may have no kinds.
    ends += [name for name, kind in zip(names, kinds, strict=False) if _ends(name, kind)]
    usual = model == "llama" or file.get("tokenizer.ggml.pre", "default") in _BEGINNING
    begins = file.get("tokenizer.ggml.add_bos_token", usual)
    try:
        tokenizer = _MAKERS[model](file, names)
        _add(tokenizer, names, kinds)
    except UserError:
        raise
    # The library raises nothing more special for merges and names that do not fit together.
    except Exception as error:
        raise TokenizerError(
            f"{file.path}: the vocabulary cannot be read ({error}); fetch the file anew"
        ) from error
    return WrappedTokenizer(
        tokenizer,
        eos_tokens=list(dict.fromkeys(ends)),
        bos_token=_named(file, names, "bos") if begins else None,
        infilling=_infilling(file, names),
        special_names=_special_names(file, names),
    )


def _ends(name: str, kind: int) -> bool:
    return name in _USUAL_ENDS and kind in (_CONTROL, _USER_DEFINED)


def _special_names(file: GgufFile, names: Sequence[str]) -> dict[str, str]:
    """Returns the names of tokens by what they are for, as the metadata states their numbers."""
    stated = {use: key for use, key in _USES.items() if _states(file, key)}
    return {use: _named(file, names, key) for use, key in stated.items()}


def _number_key(use: str) -> str:
    return f"tokenizer.ggml.{use}_token_id"


def _states(file: GgufFile, use: str) -> bool:
    """Returns whether the metadata gives a token for a use; all bits set mean none."""
    return file.has(_number_key(use)) and file.get(_number_key(use)) != _NO_TOKEN


def _named(file: GgufFile, names: Sequence[str], use: str) -> str:
    """Returns the name of the token whose number the metadata gives for a use, as `eos`."""
    return names[_number(file, names, use)]


def _number(file: GgufFile, names: Sequence[str], use: str) -> int:
    number = file.get(_number_key(use))
    check(
        isinstance(number, int) and 0 <= number < len(names),
        _number_key(use),
        expected=f"the number of a token, 0 to {len(names) - 1}",
        got=number,
        remedy="fetch the file anew",
    )
    return number


def _infilling(file: GgufFile, vocabulary: Sequence[str]) -> InfillingTokens | None:
    """Returns the marks of a hole that the metadata states, under its new names or its old ones."""
    for names in (("fim_pre", "fim_suf", "fim_mid"), ("prefix", "suffix", "middle")):
        if all(_states(file, name) for name in names):
            prefix, suffix, middle = (_number(file, vocabulary, name) for name in names)
            return InfillingTokens(prefix, suffix, middle, vocabulary[prefix] in BOTH_ORDERS)
    return None


def _byte_level(file: GgufFile, names: list[str]) -> "tokenizers.Tokenizer":
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    words = file.get("tokenizer.ggml.pre", "")
    if not words:
        _log.warning(
            "%s states no tokenizer.ggml.pre: text is cut into words as by GPT-2's old rule, which "
            "may not be the model's; files of newer converters state it",
            file.path,
        )
        words = "default"
    rule = _SAME_WORDS.get(words, words)
    check(
        rule in WORDS,
        "tokenizer.ggml.pre",
        expected=f"one of {(*WORDS, *_SAME_WORDS)}",
        got=words,
        remedy="load the model as a folder with its tokenizer.json",
    )
    # In the byte alphabet a space is another character, so the first space separates the two parts.
    pairs = [tuple(merge.split(" ", 1)) for merge in file.get("tokenizer.ggml.merges")]
    vocabulary = {name: token for token, name in enumerate(names)}
    tokenizer: Any = tokenizers.Tokenizer(
        models.BPE(vocabulary, pairs, ignore_merges=words in _WHOLE_WORDS_FIRST)
    )
    cuts = [pre_tokenizers.Split(tokenizers.Regex(cut), behavior="isolated") for cut in WORDS[rule]]
    # Words are cut by now; this turns their bytes into the alphabet of the vocabulary.
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*cuts, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    if words in _NORMALISED:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _sentencepiece(file: GgufFile, names: list[str]) -> "tokenizers.Tokenizer":
    import tokenizers
    from tokenizers import decoders, models, normalizers

    kinds = file.get("tokenizer.ggml.token_type")
    scores = file.get("tokenizer.ggml.scores")
    vocabulary = {name: token for token, name in enumerate(names)}
    # Every split of a token into two tokens is a merge. `sort` is stable: equal scores keep the
    # order of the vocabulary.
    whole = [token for token, kind in enumerate(kinds) if kind == _NORMAL and len(names[token]) > 1]
    whole.sort(key=lambda token: -scores[token])
    merges = [
        (name[:cut], name[cut:])
        for name in (names[token] for token in whole)
        for cut in range(1, len(name))
        if name[:cut] in vocabulary and name[cut:] in vocabulary
    ]
    unknown = next(
        (name for name, kind in zip(names, kinds, strict=True) if kind == _UNKNOWN), None
    )
    tokenizer: Any = tokenizers.Tokenizer(
        models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    # A vocabulary of SentencePiece writes spaces as a character of their own.
    spaces: list[Any] = [normalizers.Replace(" ", "▁")]
    if file.get("tokenizer.ggml.add_space_prefix", True):
        spaces.insert(0, normalizers.Prepend("▁"))
    tokenizer.normalizer = normalizers.Sequence(spaces)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


_MAKERS = {"gpt2": _byte_level, "llama": _sentencepiece}


def _add(tokenizer: "tokenizers.Tokenizer", names: list[str], kinds: Sequence[int]) -> None:
    """Registers the tokens that are not made by merges: special and user-defined ones."""
    from tokenizers import AddedToken

    added = [
        AddedToken(name, normalized=False, special=kind in _SPECIAL)
        for name, kind in zip(names, kinds, strict=False)
        if kind in (*_SPECIAL, _USER_DEFINED)
    ]
    tokenizer.add_tokens([token for token in added if not token.special])
    tokenizer.add_special_tokens([token for token in added if token.special])
