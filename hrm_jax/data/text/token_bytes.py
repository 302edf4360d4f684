"""What the tokens of a vocabulary stand for: bytes, in one of two ways of writing them.

In byte-level vocabularies (GPT-2, Llama 3, Qwen) a printable character stands for each of the 256
bytes. In those of SentencePiece (Llama 2, Mistral) a token is written as it is, "▁" for a space,
and bytes that no token stands for have tokens of their own, such as "<0x0A>".
"""

import re
from typing import TYPE_CHECKING

from hrm_jax.core.errors import UserError

if TYPE_CHECKING:
    import tokenizers

_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class TokenizerError(UserError, ValueError):
    """A tokenizer's files are damaged, lack something, or are of a kind that is not implemented."""


def byte_alphabet() -> dict[str, int]:
    """Returns the byte that each character of a byte-level vocabulary stands for.

    Printable characters of Latin-1 stand for themselves; the other bytes, in order, are written as
    the characters from U+0100 (Radford et al. 2019, the code of GPT-2).
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(256 + place): byte for place, byte in enumerate(others)}


_ALPHABET = byte_alphabet()


def falls_back(tokenizer: "tokenizers.Tokenizer") -> bool:
    """Returns whether the vocabulary is SentencePiece's, with tokens for single bytes."""
    return bool(getattr(tokenizer.model, "byte_fallback", False))


def token_pieces(tokenizer: "tokenizers.Tokenizer") -> list[bytes]:
    """Returns the bytes of every token; b"" for special tokens and for unused numbers."""
    # Added tokens of byte-level vocabularies are stored as plain text, not in the byte alphabet.
    piece_of = _byte_level
    added_piece_of = str.encode
    if falls_back(tokenizer):
        piece_of = added_piece_of = _sentencepiece
    added = tokenizer.get_added_tokens_decoder()
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    # Numbers may have gaps, so the list is as long as the largest number asks.
    pieces = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for name, token in vocabulary.items():
        if token in added:
            pieces[token] = b"" if added[token].special else added_piece_of(name)
            continue
        try:
            pieces[token] = piece_of(name)
        except KeyError:
            raise TokenizerError(
                f"token {token} is {name!r}, which is not written in the byte-level alphabet: only"
                " byte-level vocabularies (as GPT-2's), and those of SentencePiece with bytes to"
                " fall back on (as Llama's), can be used"
            ) from None
    return pieces


def _byte_level(name: str) -> bytes:
    return bytes(map(_ALPHABET.__getitem__, name))


def _sentencepiece(name: str) -> bytes:
    byte = _BYTE.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace(_SPACE, " ").encode("utf-8")
