"""The texts of a run on code, and the tokenizer of the run."""

import pathlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from hrm_jax.convert.language import load_language_model
from hrm_jax.core.config import ConfigError, check
from hrm_jax.data.text.exercises import exercises
from hrm_jax.data.text.source import Text
from hrm_jax.data.text.tokenizers import ByteTokenizer, load_tokenizer, train_bpe
from hrm_jax.evaluation.suites.named import DATA_VARIABLE, data_folder, load_suite
from hrm_jax.evaluation.suites.problems import SuiteError
from hrm_jax.tasks.code.config import CodeConfig, CodeDataConfig, Phase

TOKENIZER = "tokenizer"
"""The tokenizer's folder within a run's folder."""

AT_HAND = "at_hand"


class TextSplits(NamedTuple):
    """Texts to learn from, and texts that are held out.

    Attributes:
      train, validation, test: no project has texts in two of them.
    """

    train: tuple[Text, ...]
    validation: tuple[Text, ...]
    test: tuple[Text, ...]


def read_splits(config: CodeDataConfig) -> TextSplits:
    """Returns all texts of a run's data.

    Exercises are cut out of the texts, and MBPP's tasks are added, where the config asks for them.

    Raises:
      ConfigError: there is no such corpus, MBPP's file is missing, or a split is empty.
      Damaged: the corpus is damaged, and cannot be made again.
    """
    splits = _read_corpus(config)
    if config.form == "exercises":
        longest = config.longest_exercise
        # Splits are made before exercises are cut out, so all functions of a project stay in one
        # split.
        splits = TextSplits(*(tuple(exercises(texts, longest)) for texts in splits))
    if config.tasks == "mbpp":
        splits = splits._replace(
            train=splits.train + _mbpp(config, "train"),
            validation=splits.validation + _mbpp(config, "validation"),
        )
    for name, texts in splits._asdict().items():
        # After exercises are cut out, which may leave nothing of a small split.
        check(len(texts) > 0, "data.corpus", expected=f"texts in {name}", got=0, remedy="add some")
    return splits


def _read_corpus(config: CodeDataConfig) -> TextSplits:
    if config.corpus == AT_HAND:
        from hrm_jax.data.text.at_hand import texts_at_hand

        return TextSplits(**{name: tuple(texts) for name, texts in texts_at_hand().items()})
    from hrm_jax.data.corpus.prepared import read_documents  # TFDS: half a second
    from hrm_jax.data.corpus.recipe import read_intact

    def read(folder: pathlib.Path) -> TextSplits:
        splits = (read_documents(folder, split) for split in TextSplits._fields)
        return TextSplits(*(tuple(Text(d.text, language=d.language) for d in s) for s in splits))

    try:
        return read_intact(read, config.corpus, config.data_dir or None)
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError("data.corpus", str(error)) from error


def _mbpp(config: CodeDataConfig, split: Literal["train", "validation"]) -> tuple[Text, ...]:
    """Returns MBPP's tasks as docstrings with their first test, each with its solution."""
    folder = data_folder(config.suite_data)
    check(
        folder is not None,
        "data.suite_data",
        expected="the folder of mbpp.jsonl for data.tasks=mbpp",
        got=config.suite_data,
        remedy=f"set it, or {DATA_VARIABLE}",
    )
    try:
        suite = load_suite("mbpp", folder, split=split, style="instruction")
    except SuiteError as error:
        raise ConfigError("data.tasks", str(error)) from error
    return tuple(
        Text(problem.canonical.rstrip() + "\n", problem.prompt.prefix, "python")
        for problem in suite.problems
    )


def make_tokenizer(config: CodeConfig, texts: Sequence[Text], folder: pathlib.Path) -> None:
    """Saves the tokenizer that the run's data ask for in `folder`, unless one is there.

    Raises:
      ConfigError: there is no such tokenizer.
    """
    place = folder / TOKENIZER
    named = config.data.tokenizer
    # A resumed run keeps its tokenizer, whatever the config asks for now: the weights depend on it.
    if place.exists():
        return
    if named == "bytes":
        tokenizer = ByteTokenizer()
    elif named == "bpe":
        tokenizer = train_bpe((text.prefix + text.text for text in texts), config.data.vocab_size)
    elif named == "foundation":
        tokenizer = load_language_model(config.foundation).tokenizer
    else:
        try:
            tokenizer = load_tokenizer(named)
        except (OSError, ValueError) as error:
            raise ConfigError("data.tokenizer", str(error)) from error
    tokenizer.save(place)


def chosen(texts: Sequence[Text], phase: Phase) -> list[Text]:
    """Returns the texts of a phase: of its languages, and not longer than its limit.

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
