"""A `tokenizers.Tokenizer` behind the protocol `hrm_jax.core.protocols.Tokenizer`.

Two kinds of vocabularies are wrapped, byte-level ones and those of SentencePiece (`token_bytes`).
The tokenizers of the second kind put a space before each text. Extra: `codegen`.
"""

import functools
import itertools
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hrm_jax.core.files import JsonError, TextError, read_json_object, write_atomically
from hrm_jax.core.protocols import InfillingTokens, Marker
from hrm_jax.data.text.markers import BREAK, HIDDEN, is_marker
from hrm_jax.data.text.token_bytes import TokenizerError, falls_back, token_pieces

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
MODEL_CONFIG = "config.json"
_PARTS = ("normalizer", "pre_tokenizer", "model", "decoder")

INFILLING_NAMES = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    # DeepSeek's, whose bars are full-width and whose spaces are SentencePiece's.
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
    # Code Llama's.
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
    # Codestral's, which has no mark of the middle.
    ("[PREFIX]", "[SUFFIX]"),
)
"""How vocabularies name the marks of fill-in-the-middle; ours come first."""

BOTH_ORDERS = ("<fim_prefix>", "\u2581<PRE>")
"""First marks of StarCoder and its family and of Code Llama, which were trained on both orders."""


class WrappedTokenizer:
    """A tokenizer of the library `tokenizers`, byte-level or with bytes to fall back on.

    Attributes:
      vocab_size: V, one more than the largest token.
      bos_token: what a text begins with, or None.
      eos_tokens: what a text ends with, the usual one first.
      infilling: the marks of fill-in-the-middle, if the vocabulary has any of `INFILLING_NAMES`.
      special_names: names of tokens by what they are for, as the model's files state them.
      markers: the added tokens that mark something, by name.
    """

    vocab_size: int
    bos_token: int | None
    eos_tokens: tuple[int, ...]
    infilling: InfillingTokens | None
    special_names: Mapping[str, str]
    markers: Mapping[str, Marker]

    def __init__(
        self,
        tokenizer: "tokenizers.Tokenizer",
        *,
        eos_tokens: Sequence[str],
        bos_token: str | None = None,
        infilling: InfillingTokens | None = None,
        special_names: Mapping[str, str] | None = None,
    ):
        """Takes over `tokenizer`: its truncation and padding are switched off.

        Args:
          tokenizer: of one of the two kinds; changed in place.
          eos_tokens: names of the tokens that end a text, the usual one first.
          bos_token: name of the token that begins a text, only if models are trained with one.
          infilling: the marks of a hole; None for those of `INFILLING_NAMES`.
          special_names: of tokens by what they are for; None for the ends and the beginning.

        Raises:
          TokenizerError: the vocabulary is of another kind, or lacks a named token, or no end is
            named.
        """
        if not eos_tokens:
            raise TokenizerError("eos_tokens is empty, but a text must end with a token: name one")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "<eos>" in a text is five characters
        self._tokenizer = tokenizer
        # A part from within a text must not begin with the space that SentencePiece puts before a
        # text.
        self._within = _without_first_space(tokenizer) if falls_back(tokenizer) else tokenizer
        self._pieces = token_pieces(tokenizer)
        self.vocab_size = len(self._pieces)
        self.bos_token = None if bos_token is None else self._find(bos_token)
        self.eos_tokens = tuple(self._find(name) for name in eos_tokens)
        self.infilling = infilling or _find_infilling(tokenizer)
        usual = {"eos_token": eos_tokens[0], "bos_token": bos_token}
        given = usual if special_names is None else special_names
        self.special_names = {use: name for use, name in given.items() if name is not None}
        self.markers = {
            added.content: Marker(token, added.special)
            for token, added in tokenizer.get_added_tokens_decoder().items()
            if is_marker(added.content, special=added.special)
        }

    @classmethod
    def load(cls, folder: pathlib.Path | str) -> "WrappedTokenizer":
        """Reads `tokenizer.json` and what is beside it, ours or of a published model.

        Raises:
          FileNotFoundError: there is no `tokenizer.json`.
          TokenizerError: they are damaged, do not say what a text ends with, or as the constructor.
        """
        folder = pathlib.Path(folder)
        whole = _read_object(folder / TOKENIZER_FILE)
        # What the tokenizer's config leaves out, older files beside it may say.
        config = _read_object(folder / SPECIAL_FILE, absent_is_empty=True)
        stated = _read_object(folder / CONFIG_FILE, absent_is_empty=True)
        config |= {name: value for name, value in stated.items() if value is not None}
        # `eos_tokens` is written by `save`; published files have a single `eos_token`.
        ends = config.get("eos_tokens") or [config.get("eos_token")]
        if not isinstance(ends, list):
            raise TokenizerError(f"{folder}: expected a list of names as eos_tokens, got {ends!r}")
        if None in ends:
            tokenizer = _parse(whole, folder / TOKENIZER_FILE)
            ends = _ends_by_number(folder / MODEL_CONFIG, tokenizer)
        if not ends:
            raise TokenizerError(
                f"{folder / CONFIG_FILE} names no eos_token, nor does {SPECIAL_FILE} or "
                f"{MODEL_CONFIG} beside it: add one"
            )
        names = [_name(end) for end in ends]
        marks = {*names, *itertools.chain(*INFILLING_NAMES)}
        tokenizer = _parse(whole, folder / TOKENIZER_FILE, marks)
        # Not all published files state add_bos_token. The tokenizer then tells, by the tokens that
        # it gives for an empty text.
        begins = config.get("bos_token") and _name(config["bos_token"])
        if not config.get("add_bos_token", begins in tokenizer.encode("").tokens):
            begins = None
        return cls(
            tokenizer, eos_tokens=names, bos_token=begins, special_names=_special_names(config)
        )

    def save(self, folder: Any) -> None:
        """Writes the two files that `load` reads."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        ends = [self._tokenizer.id_to_token(token) for token in self.eos_tokens]
        config = {**self.special_names, "eos_token": ends[0], "eos_tokens": ends}
        config["add_bos_token"] = False
        if self.bos_token is not None:
            name = self._tokenizer.id_to_token(self.bos_token)
            config |= {"bos_token": name, "add_bos_token": True}
        write_atomically(folder / TOKENIZER_FILE, self._tokenizer.to_str(pretty=True))
        write_atomically(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of a part of a text; special tokens are never produced."""
        return _tokens(self._within, text)

    def encode_marked(self, text: str) -> list[int]:
        """Returns the tokens of a whole text in which names of special tokens are these tokens."""
        return _tokens(self._marking, text)

    @functools.cached_property
    def _marking(self) -> "tokenizers.Tokenizer":
        """A twin that finds all markers, and then shows what is hidden between them."""
        import tokenizers
        from tokenizers import AddedToken, normalizers

        # Made of the same parts, which are shared: copying a large vocabulary takes seconds.
        own: Any = self._tokenizer
        twin: Any = tokenizers.Tokenizer(own.model)
        twin.pre_tokenizer = own.pre_tokenizer
        shown = [
            normalizers.Replace(hidden, text) for hidden, text in {**HIDDEN, BREAK: ""}.items()
        ]
        steps = [] if own.normalizer is None else [own.normalizer]
        twin.normalizer = normalizers.Sequence([*shown, *steps])
        added = sorted(own.get_added_tokens_decoder().items())
        twin.add_tokens(
            [
                AddedToken(
                    token.content,
                    single_word=token.single_word,
                    lstrip=token.lstrip,
                    rstrip=token.rstrip,
                    # Tokens are found before or after normalizing; then, hidden ones are shown.
                    normalized=token.normalized and token.content not in self.markers,
                    special=token.special,
                )
                for _, token in added
            ]
        )
        return twin

    def begin(self, text: str) -> list[int]:
        """Returns `bos_token`, if there is one, and the tokens of a text's first part."""
        begin = [] if self.bos_token is None else [self.bos_token]
        return begin + _tokens(self._tokenizer, text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of tokens, special ones left out, broken characters as U+FFFD."""
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """Returns what a token adds to a text, in UTF-8; nothing for a special one.

        Raises:
          IndexError: there is no such token.
        """
        # A negative index would count from the end of the list; too large a one raises by itself.
        if token < 0:
            raise IndexError(f"tokens are 0 to {self.vocab_size - 1}, not {token}")
        return self._pieces[token]

    def name(self, token: int) -> str:
        """Returns what the vocabulary calls a token; its number where it has no name."""
        return self._tokenizer.id_to_token(token) or str(token)

    def _find(self, name: str) -> int:
        try:
            token = self._tokenizer.token_to_id(name)
        except UnicodeEncodeError:  # JSON can escape half of a character
            token = None
        if token is None:
            raise TokenizerError(f"the vocabulary has no token {name!r}: name one that it has")
        return token


def _read_object(path: pathlib.Path, *, absent_is_empty: bool = False) -> dict[str, Any]:
    """Returns the fields of a JSON file.

    Raises:
      TokenizerError: it is not JSON, or holds something else than fields.
    """
    if absent_is_empty and not path.exists():
        return {}
    try:
        return read_json_object(path)
    except (JsonError, TextError) as error:
        raise TokenizerError(str(error)) from error


def _kind(part: Any) -> Any:
    """Returns what a part of a `tokenizer.json` says that it is."""
    return part.get("type") if isinstance(part, dict) else part


def _parse(
    whole: dict[str, Any], path: pathlib.Path, marks: Collection[str] = ()
) -> "tokenizers.Tokenizer":
    """Returns the tokenizer that a `tokenizer.json` describes.

    Args:
      whole: what the file holds; changed in place.
      path: names it in errors.
      marks: added tokens that are special, whatever the file says.

    Raises:
      TokenizerError: the library cannot read it.
    """
    import tokenizers

    try:
        for token in whole.get("added_tokens") or ():  # not all published files say it of all
            token["special"] = token["special"] or token["content"] in marks
        return tokenizers.Tokenizer.from_str(json.dumps(whole))
    except Exception as error:  # the library raises nothing more special
        kinds = {part: _kind(whole.get(part)) for part in _PARTS}
        raise TokenizerError(
            f"{path}: tokenizers {tokenizers.__version__} cannot read it ({error}); it states "
            f"{kinds}: install the version that the model asks for"
        ) from error


def _ends_by_number(path: pathlib.Path, tokenizer: "tokenizers.Tokenizer") -> list[str]:
    """Returns the names of the tokens that the model's config gives as `eos_token_id`."""
    number = _read_object(path, absent_is_empty=True).get("eos_token_id")
    numbers = number if isinstance(number, list) else [number]
    names = {token: name for name, token in tokenizer.get_vocab().items()}
    return [names[token] for token in numbers if isinstance(token, int) and token in names]


def _special_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the fields of a config that name a token, such as `pad_token`."""
    named = {use: token for use, token in config.items() if use.endswith("_token")}
    return {
        use: _name(token)
        for use, token in named.items()
        if isinstance(token, str) or (isinstance(token, dict) and "content" in token)
    }


def _tokens(tokenizer: "tokenizers.Tokenizer", text: str) -> list[int]:
    try:
        # The fast one leaves out where each token lies in the text.
        return tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    # JSON can escape half of a character, which is no text to the library.
    except TypeError as error:
        raise TokenizerError(
            f"expected whole characters, got half of a pair of surrogates in {text!r:.80}; correct "
            "the escape sequence"
        ) from error


def _without_first_space(tokenizer: "tokenizers.Tokenizer") -> "tokenizers.Tokenizer":
    """Returns a copy that does not put a space before a text."""
    import tokenizers

    # Changed in its JSON form. The space comes from one of two places: a Prepend normalizer or a
    # Metaspace pre-tokenizer.
    whole = json.loads(tokenizer.to_str())
    normalizer = whole["normalizer"]
    words = whole["pre_tokenizer"]
    steps = _steps(normalizer, "normalizers")
    whole["normalizer"] = {
        "type": "Sequence",
        "normalizers": [step for step in steps if step["type"] != "Prepend"],
    }
    for step in _steps(words, "pretokenizers"):
        if step["type"] == "Metaspace":
            step["prepend_scheme"] = "never"
    found = tokenizers.Tokenizer.from_str(json.dumps(whole))
    found.encode_special_tokens = True
    return found


def _steps(part: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """Returns a step of the pipeline alone, or those of a sequence of steps."""
    if part is None:
        return []
    return part[name] if part["type"] == "Sequence" else [part]


def _find_infilling(tokenizer: "tokenizers.Tokenizer") -> InfillingTokens | None:
    for names in INFILLING_NAMES:
        found = [tokenizer.token_to_id(name) for name in names]
        tokens = [token for token in found if token is not None]
        if len(tokens) == len(names):
            prefix, suffix, *middle = tokens
            both = names[0] in BOTH_ORDERS
            return InfillingTokens(prefix, suffix, middle[0] if middle else None, both)
    return None


def _name(token: Any) -> str:
    """Returns a token's name from a published config, where it may be an object with `content`.

    Raises:
      TokenizerError: it is neither.
    """
    name = token.get("content") if isinstance(token, dict) else token
    if not isinstance(name, str):
        raise TokenizerError(
            f"expected a token's name, or an object with its `content`, got {token!r:.80}; correct "
            f"{CONFIG_FILE}"
        )
    return name
