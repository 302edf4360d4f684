"""The texts of a run on code, and the tokenizer that makes tokens of them."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from hrm_jax.core.config import ConfigError, check
from hrm_jax.data.text.source import Text
from hrm_jax.tasks.code_config import CodeDataConfig, Phase

TOKENIZER = "tokenizer"
"""The tokenizer's folder in that of a run."""

AT_HAND = "at_hand"


class TextSplits(NamedTuple):
    """What is learned from, and what is held out.

    Attributes:
      train, validation, test: projects of one are not in another.
    """

    train: tuple[Text, ...]
    validation: tuple[Text, ...]
    test: tuple[Text, ...]


def read_splits(config: CodeDataConfig) -> TextSplits:
    """All texts of a corpus.

    Raises:
      ConfigError: there is no such corpus, or a split of it is empty.
    """
    check(
        config.corpus == AT_HAND,
        "data.corpus",
        expected=AT_HAND,
        got=config.corpus,
        remedy="name a corpus that is there",
    )
    from hrm_jax.data.text.at_hand import texts_at_hand

    splits = TextSplits(**{name: tuple(texts) for name, texts in texts_at_hand().items()})
    for name, texts in splits._asdict().items():
        check(len(texts) > 0, "data.corpus", expected=f"texts in {name}", got=0, remedy="add some")
    return splits


def make_tokenizer(config: CodeDataConfig, texts: Sequence[Text], folder: pathlib.Path) -> None:
    """Puts the tokenizer that `config` names into `folder`, unless one is there.

    Raises:
      ConfigError: there is no such tokenizer.
    """
    from hrm_jax.data.text.tokenizers import ByteTokenizer, load_tokenizer, train_bpe

    place = folder / TOKENIZER
    if place.exists():
        return
    if config.tokenizer == "bytes":
        tokenizer = ByteTokenizer()
    elif config.tokenizer == "bpe":
        tokenizer = train_bpe((text.prefix + text.text for text in texts), config.vocab_size)
    else:
        try:
            tokenizer = load_tokenizer(config.tokenizer)
        except (OSError, ValueError) as error:
            raise ConfigError("data.tokenizer", str(error)) from error
    tokenizer.save(place)


def chosen(texts: Sequence[Text], phase: Phase) -> list[Text]:
    """The texts of a phase.

    Raises:
      ConfigError: there are none.
    """
    found = [
        text
        for text in texts
        if (not phase.languages or text.language in phase.languages)
        and (not phase.longest_bytes or len(text.text.encode()) <= phase.longest_bytes)
    ]
    check(
        len(found) > 0,
        "phases",
        expected="texts in every phase",
        got=(phase.languages, phase.longest_bytes),
        remedy="allow more languages or longer texts",
    )
    return found
