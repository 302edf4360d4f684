"""A `tokenizers.Tokenizer` as the floors above know one (`hrm_jax.core.protocols.Tokenizer`).

Only byte-level vocabularies are wrapped, those of GPT-2 and all that followed it: there every token
stands for bytes, written with one printable character for each of the 256. Extra: `codegen`.
"""

import itertools
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hrm_jax.core.protocols import InfillingTokens
from hrm_jax.training.files import write_atomically

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"

INFILLING_NAMES = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
)
"""How vocabularies name the marks of fill-in-the-middle; ours come first."""


def byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for.

    Printable characters of Latin-1 stand for themselves; the other bytes, in order, are written as
    the characters from U+0100 (Radford et al. 2019, the code of GPT-2).
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + place): byte for place, byte in enumerate(others)}


class WrappedTokenizer:
    """A byte-level tokenizer of the library `tokenizers`.

    Attributes:
      vocab_size: V, one more than the largest token.
      bos_token: what a text begins with, or None.
      eos_tokens: what a text ends with, the usual one first.
      infilling: the marks of fill-in-the-middle, if the vocabulary has any of `INFILLING_NAMES`.
    """

    vocab_size: int
    bos_token: int | None
    eos_tokens: tuple[int, ...]
    infilling: InfillingTokens | None

    def __init__(
        self,
        tokenizer: "tokenizers.Tokenizer",
        *,
        eos_tokens: Sequence[str],
        bos_token: str | None = None,
    ):
        """Takes over `tokenizer`: its truncation and padding are switched off.

        Args:
          tokenizer: a byte-level one.
          eos_tokens: names of what a text ends with, the usual one first.
          bos_token: name of what a text begins with, only if models are trained so.

        Raises:
          ValueError: the vocabulary is not byte-level, or lacks a named token, or no end is named.
        """
        if not eos_tokens:
            raise ValueError("eos_tokens is empty, but a text must end with a token: name one")
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "<eos>" in a text is five characters
        self._tokenizer = tokenizer
        self._pieces = _pieces(tokenizer)
        self.vocab_size = len(self._pieces)
        self.bos_token = None if bos_token is None else self._find(bos_token)
        self.eos_tokens = tuple(self._find(name) for name in eos_tokens)
        self.infilling = None
        self.infilling = _find_infilling(tokenizer)

    @classmethod
    def load(cls, folder: pathlib.Path | str) -> "WrappedTokenizer":
        """Reads `tokenizer.json` and `tokenizer_config.json`, ours or of a published model.

        Raises:
          FileNotFoundError: one of the two files is not there.
          ValueError: they do not say what a text ends with, or as the constructor.
        """
        import tokenizers

        folder = pathlib.Path(folder)
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        ends = config.get("eos_tokens") or [config.get("eos_token")]
        if None in ends:
            raise ValueError(f"{folder / CONFIG_FILE} names no eos_token: add one")
        begins = _name(config["bos_token"]) if config.get("add_bos_token") else None
        names = [_name(end) for end in ends]
        whole = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
        marks = {*names, *itertools.chain(*INFILLING_NAMES)}
        for token in whole.get("added_tokens") or ():  # not all published files say it of all
            token["special"] = token["special"] or token["content"] in marks
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(whole))
        return cls(tokenizer, eos_tokens=names, bos_token=begins)

    def save(self, folder: Any) -> None:
        """Writes the two files that `load` reads."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        ends = [self._tokenizer.id_to_token(token) for token in self.eos_tokens]
        config = {"eos_token": ends[0], "eos_tokens": ends, "add_bos_token": False}
        if self.bos_token is not None:
            name = self._tokenizer.id_to_token(self.bos_token)
            config |= {"bos_token": name, "add_bos_token": True}
        write_atomically(folder / TOKENIZER_FILE, self._tokenizer.to_str(pretty=True))
        write_atomically(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, none of them special, whatever the text says."""
        # The fast one leaves out where each token lies in the text.
        return self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out, broken characters as U+FFFD."""
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """What a token adds to a text, in UTF-8; nothing for a special one.

        Raises:
          IndexError: there is no such token.
        """
        if token < 0:
            raise IndexError(f"tokens are 0 to {self.vocab_size - 1}, not {token}")
        return self._pieces[token]

    def _find(self, name: str) -> int:
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise ValueError(f"the vocabulary has no token {name!r}: name one that it has")
        return token


def _pieces(tokenizer: "tokenizers.Tokenizer") -> list[bytes]:
    """The bytes of every token; none for special ones and for numbers that stand for nothing."""
    alphabet = byte_alphabet()
    added = tokenizer.get_added_tokens_decoder()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    pieces = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for name, token in vocabulary.items():
        if token in added:
            pieces[token] = b"" if added[token].special else name.encode("utf-8")
            continue
        try:
            pieces[token] = bytes(alphabet[character] for character in name)
        except KeyError:
            raise ValueError(
                f"token {token} is {name!r}, which is not written in the byte-level alphabet: only"
                " byte-level vocabularies (as GPT-2's) can be used"
            ) from None
    return pieces


def _find_infilling(tokenizer: "tokenizers.Tokenizer") -> InfillingTokens | None:
    for names in INFILLING_NAMES:
        found = [tokenizer.token_to_id(name) for name in names]
        tokens = [token for token in found if token is not None]
        if len(tokens) == len(names):
            return InfillingTokens(*tokens)
    return None


def _name(token: Any) -> str:
    """The name of a token in a published config, where it may be an object with its content."""
    return token["content"] if isinstance(token, dict) else token
