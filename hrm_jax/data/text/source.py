"""Texts in memory, as tokens."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from hrm_jax.core.protocols import InfillingTokens, Tokenizer
from hrm_jax.data.text.languages import LANGUAGES

NO_LANGUAGE = -1
"""The language of padding, and of texts in none of `LANGUAGES`."""


class Text(NamedTuple):
    """A text to learn.

    Attributes:
      text: what it says after its prefix.
      prefix: what it answers to, such as an instruction; empty where there is nothing of the kind.
      language: one of `LANGUAGES`, or None.
    """

    text: str
    prefix: str = ""
    language: str | None = None


def fingerprint(texts: Iterable[Text]) -> str:
    """Returns the SHA-256 of texts in their order, in hexadecimal."""
    digest = hashlib.sha256()
    for text in texts:
        # Written with quotes, so that no two series of texts are written alike.
        digest.update(json.dumps(text).encode("ascii"))
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class TextSource:
    """All texts of a split.

    Attributes:
      tokens: uint16 or uint32, of all texts, one after the other. Each text begins with the
        tokenizer's `bos_token`, if it has one, and ends with its first of `eos_tokens`.
      ends: int64 [N], where in `tokens` each text ends.
      prefix_lengths: int32 [N], how many of its first tokens are prefix.
      languages: int8 [N], index into `LANGUAGES`, or `NO_LANGUAGE`.
      token_sizes: int32 [V], the bytes that each token adds to a text.
      begins: whether texts begin with a `bos_token`.
      infilling: the tokenizer's marks of fill-in-the-middle, or None.
    """

    tokens: Int[np.ndarray, " T"]
    ends: Int[np.ndarray, " N"]
    prefix_lengths: Int[np.ndarray, " N"]
    languages: Int[np.ndarray, " N"]
    token_sizes: Int[np.ndarray, " V"]
    begins: bool
    infilling: InfillingTokens | None

    def __post_init__(self) -> None:
        if not len(self.ends) == len(self.prefix_lengths) == len(self.languages):
            raise ValueError(
                "ends, prefix_lengths and languages must have an entry for each text, but they have"
                f" {len(self.ends)}, {len(self.prefix_lengths)} and {len(self.languages)}"
            )
        if len(self.ends) == 0:
            raise ValueError("a source needs at least one text, but this one is empty")
        if self.ends[-1] != len(self.tokens) or (self.lengths < 1).any():
            raise ValueError(
                "ends must grow up to the number of tokens"
                f" ({len(self.tokens)}), but they end at {self.ends[-1]}"
            )

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def starts(self) -> Int[np.ndarray, " N"]:
        """Where in `tokens` each text begins."""
        return np.concatenate([[0], self.ends[:-1]])

    @property
    def lengths(self) -> Int[np.ndarray, " N"]:
        """Tokens of each text."""
        return np.diff(self.ends, prepend=0)


def tokenize(texts: Iterable[Text], tokenizer: Tokenizer) -> TextSource:
    """Encodes texts, in order, each with the tokenizer's `bos_token`, if any, and end token.

    Raises:
      ValueError: there is no text, or one has a language that is none of `LANGUAGES`.
    """
    # Half the memory for vocabularies of up to 65,536 tokens.
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32
    number = {None: NO_LANGUAGE} | {name: index for index, name in enumerate(LANGUAGES)}
    # `np.concatenate` needs an array; a source without texts is refused by its constructor.
    parts = [np.zeros(0, dtype)]
    prefix_lengths = []
    languages = []
    for text in texts:
        if text.language not in number:
            raise ValueError(f"{text.language!r} is none of the languages {', '.join(LANGUAGES)}")
        prefix = tokenizer.begin(text.prefix) if text.prefix else []
        # Only the first part of a text may get a `bos_token` and, in SentencePiece, a first space.
        rest = tokenizer.encode(text.text) if prefix else tokenizer.begin(text.text)
        # The first of several ends is the usual one.
        parts.append(np.array([*prefix, *rest, tokenizer.eos_tokens[0]], dtype))
        prefix_lengths.append(len(prefix))
        languages.append(number[text.language])
    sizes = [len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)]
    return TextSource(
        tokens=np.concatenate(parts),
        ends=np.cumsum([len(part) for part in parts[1:]], dtype=np.int64),
        prefix_lengths=np.array(prefix_lengths, np.int32),
        languages=np.array(languages, np.int8),
        token_sizes=np.array(sizes, np.int32),
        begins=tokenizer.bos_token is not None,
        infilling=tokenizer.infilling,
    )
