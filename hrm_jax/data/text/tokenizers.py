"""The tokenizers trained or defined here, bytes and BPE, and how a saved one is read.

Before BPE merges anything a text is cut into words: letters and `_` with a space before them; a
digit; a run of other characters; a line's end with the white space before it; indentation. Digits
stand alone, so that numbers are written alike everywhere, and the last space of an indentation
goes with its word, as in GPT-2.
"""

import json
import pathlib
import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

from hrm_jax.core.files import read_json_object, write_atomically
from hrm_jax.core.protocols import InfillingTokens, Marker, Tokenizer
from hrm_jax.data.text.markers import show
from hrm_jax.data.text.wrapped_tokenizer import (
    CONFIG_FILE,
    INFILLING_NAMES,
    TOKENIZER_FILE,
    WrappedTokenizer,
)

END_OF_TEXT = "<|endoftext|>"

_BYTES = 256
# The alternatives in the order of the module's text; `\s+(?!\S)` leaves the last space to a word.
_WORDS = r" ?[\p{L}\p{M}_]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}_]+|\s*\n|\s+(?!\S)|\s+"


_MARKERS = re.compile(f"({'|'.join(map(re.escape, (END_OF_TEXT, *INFILLING_NAMES[0])))})")


class ByteTokenizer:
    """UTF-8 bytes as tokens: token b is the byte b.

    Above the bytes are the end of a text and the three marks of a hole.
    """

    vocab_size = _BYTES + 4
    bos_token = None
    eos_tokens = (_BYTES,)
    infilling = InfillingTokens(prefix=_BYTES + 1, suffix=_BYTES + 2, middle=_BYTES + 3)
    markers = MappingProxyType(
        {
            name: Marker(_BYTES + number, special=True)
            for number, name in enumerate((END_OF_TEXT, *INFILLING_NAMES[0]))
        }
    )
    special_names = MappingProxyType({"eos_token": END_OF_TEXT})

    def encode(self, text: str) -> list[int]:
        """Returns the bytes of a text."""
        return list(text.encode("utf-8"))

    def encode_marked(self, text: str) -> list[int]:
        """Returns the bytes of a text, in which names of markers are these tokens."""
        tokens = []
        for part in _MARKERS.split(text):
            marker = self.markers.get(part)
            tokens += self.encode(show(part)) if marker is None else [marker.token]
        return tokens

    def begin(self, text: str) -> list[int]:
        """Returns the bytes of a text, as `encode`: there is no `bos_token`."""
        return self.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of tokens, special ones left out, broken characters as U+FFFD."""
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """Returns the byte itself; nothing for a special token.

        Raises:
          IndexError: there is no such token.
        """
        if not 0 <= token < self.vocab_size:
            raise IndexError(f"tokens are 0 to {self.vocab_size - 1}, not {token}")
        return bytes([token]) if token < _BYTES else b""

    def save(self, folder: Any) -> None:
        """Writes the config by which `load_tokenizer` recognizes a byte tokenizer."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"tokenizer_class": type(self).__name__}, indent=2) + "\n"
        write_atomically(folder / CONFIG_FILE, text)


def train_bpe(texts: Iterable[str], vocab_size: int) -> WrappedTokenizer:
    """Trains byte-level BPE; equal texts in equal order give an equal vocabulary.

    Args:
      texts: what to train on, read once.
      vocab_size: V at most: 256 bytes, 4 special tokens, and as many merges as there is room and
        reason for.

    Raises:
      ValueError: there is no room for the bytes and the special tokens.
    """
    least = ByteTokenizer.vocab_size
    if vocab_size < least:
        raise ValueError(f"vocab_size must be at least {least}, for bytes alone, not {vocab_size}")
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    # The words are cut by the pattern above, so ByteLevel only maps bytes to printable characters;
    # with use_regex it would cut by GPT-2's pattern as well.
    words = pre_tokenizers.Split(tokenizers.Regex(_WORDS), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    # The whole alphabet is in the vocabulary from the start: text that was never seen can be
    # encoded.
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_TEXT, *INFILLING_NAMES[0]],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return WrappedTokenizer(tokenizer, eos_tokens=[END_OF_TEXT])


def load_tokenizer(folder: pathlib.Path | str) -> Tokenizer:
    """Reads what a tokenizer's `save` wrote, or the tokenizer files of a published model.

    Raises:
      FileNotFoundError: the folder holds no tokenizer.
      ValueError: as `WrappedTokenizer`.
    """
    folder = pathlib.Path(folder)
    # Both kinds have a config, but only a wrapped tokenizer has this file.
    if (folder / TOKENIZER_FILE).exists():
        return WrappedTokenizer.load(folder)
    config = folder / CONFIG_FILE
    saved = read_json_object(config) if config.exists() else {}
    if saved.get("tokenizer_class") == ByteTokenizer.__name__:
        return ByteTokenizer()
    raise FileNotFoundError(
        f"{folder} holds no tokenizer: expected {TOKENIZER_FILE} with {CONFIG_FILE}, or"
        f" {CONFIG_FILE} of a {ByteTokenizer.__name__}"
    )
