"""Batches of packed text: deterministic, resumable, split over processes.

Texts are cut and laid into rows once, by the seed; `hrm_jax.data.rows` deals the rows out. The rows
are the same in every epoch, in another order; prefixes and holes are drawn anew at each visit.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.texts import TextBatch
from hrm_jax.core.types import IGNORE_LABEL
from hrm_jax.data import rows
from hrm_jax.data.text import infilling, packing
from hrm_jax.data.text.packing import Segment, Windows
from hrm_jax.data.text.source import NO_LANGUAGE, TextSource

if TYPE_CHECKING:
    import grain

PrefixKind = Literal["bidirectional", "causal", "learned"]
"""What a prefix is.

"bidirectional": its tokens see each other, and are not learned (PrefixLM). "causal": they see only
what is before them, and are not learned. "learned": they are as all other tokens.
"""

# Second number of each seed, after the user's: draws for different purposes share no stream.
_ORDER, _HOLES, _VISIT = range(3)


@configclass
class TextConfig(rows.RowsConfig):
    """The configuration of training batches of text.

    Attributes:
      row_tokens: T, tokens a row.
      prefix: see `PrefixKind`.
      prefix_rate: share of the texts without a prefix of their own, and of windows of long ones, of
        which a part of random length becomes a prefix.
      infilling_rate: share of them that are learned with a hole (fill-in-the-middle); all up to the
        hole is then prefix.
    """

    row_tokens: int = field(
        1024,
        at_least=1 + infilling.MOST_MARKS + 1,
        remedy="rows of 512 to 4,096 tokens are usual",
    )
    prefix: PrefixKind = field("learned", remedy="take learned for plain language modelling")
    prefix_rate: float = field(0.0, at_least=0, at_most=1, remedy="0.5 is half of the texts")
    infilling_rate: float = field(0.0, at_least=0, at_most=1, remedy="0.5 is half of the texts")

    def __post_init__(self) -> None:
        """Raises ConfigError where the fields do not fit together."""
        super().__post_init__()
        check(
            self.prefix_rate == 0 or self.prefix != "learned",
            "prefix_rate",
            expected="0 while prefix is 'learned', where it would change nothing",
            got=self.prefix_rate,
            remedy="set prefix to bidirectional or causal",
        )


@dataclasses.dataclass(frozen=True)
class _Packed:
    """The windows of a source, which of them have a hole, and which windows are in each row."""

    windows: Windows
    with_hole: np.ndarray
    rows: list[list[int]]


def _pack(source: TextSource, config: TextConfig) -> _Packed:
    # A hole adds its marks, and an end where the window has none.
    spare = infilling.MOST_MARKS + 1 if config.infilling_rate else 0
    windows = packing.cut(source.lengths, config.row_tokens - spare)
    draws = np.random.default_rng([config.seed, _HOLES]).random(len(windows.text))
    # Texts with a prefix of their own keep it: a hole would move a part of the prefix.
    with_hole = (draws < config.infilling_rate) & (source.prefix_lengths[windows.text] == 0)
    ends_here = windows.stop == source.lengths[windows.text]
    sizes = windows.stop - windows.start + with_hole * (infilling.MOST_MARKS + ~ends_here)
    # Shuffled before packing, as best fit fills rows in the order in which the pieces come.
    order = np.arange(len(sizes))
    if config.shuffle:
        order = np.random.default_rng([config.seed, _ORDER]).permutation(len(sizes))
    packed = packing.best_fit(sizes[order], config.row_tokens)
    return _Packed(windows, with_hole, [order[row].tolist() for row in packed])


class _Writer:
    """Writes the rows of a packed source."""

    def __init__(self, source: TextSource, config: TextConfig):
        self.source = source
        self.config = config
        self.packed = _pack(source, config)
        self._starts = source.starts

    def segment(self, window: int, epoch: int) -> Segment:
        """Returns a window as it is learned in an epoch."""
        source = self.source
        config = self.config
        windows = self.packed.windows
        text = windows.text[window]
        start = windows.start[window]
        stop = windows.stop[window]
        begin = self._starts[text] + start
        end = self._starts[text] + stop
        tokens = source.tokens[begin:end].astype(np.int32)
        is_end = end == source.ends[text]
        # Drawn from (seed, epoch, window) rather than from one stream, so that a segment is the
        # same on any process and after a resume.
        rng = np.random.default_rng([config.seed, _VISIT, epoch, window])
        if self.packed.with_hole[window]:
            return self._with_hole(tokens, rng, is_begin=start == 0, is_end=is_end)
        # A prefix may reach over several windows of a long text, or end before this one.
        prefix = max(0, int(source.prefix_lengths[text] - start))
        if source.prefix_lengths[text] == 0 and rng.random() < config.prefix_rate:
            prefix = int(rng.integers(0, len(tokens)))
        # The window's last token predicts the first of the text's next window.
        after = IGNORE_LABEL if is_end else int(source.tokens[end])
        return Segment(tokens, prefix, after)

    def _with_hole(self, tokens, rng, *, is_begin: bool, is_end: bool) -> Segment:
        """Returns a window with a hole, from its beginning to an end."""
        marks = self.source.infilling
        # Every text ends with the tokenizer's first `eos_tokens`, so the source's last token is
        # one.
        eos = self.source.tokens[-1]
        assert marks is not None
        # The beginning and the end of the text stay where they are; the hole lies in what is
        # between.
        first = int(is_begin and self.source.begins)
        body = tokens[first : len(tokens) - is_end]
        hole = infilling.draw_hole(rng, len(body))
        marked = infilling.with_hole(body, hole, marks)
        # All up to the mark of the middle is prefix: unless prefixes are learned, only the hole
        # counts.
        before = len(marked) - (hole[1] - hole[0])
        parts = (tokens[:first], marked, np.array([eos], np.int32))
        return Segment(np.concatenate(parts), first + before)

    def write(self, chosen: np.ndarray, first: int) -> rows.Arrays:
        """Returns the batch of the rows `chosen`.

        `first` is the first one's position over all epochs.
        """
        config = self.config
        packed = self.packed
        segments = [
            [
                # The epoch is found for each row, as one batch may end an epoch and begin the next.
                self.segment(window, (first + place) // len(packed.rows))
                for window in packed.rows[row]
            ]
            for place, row in enumerate(chosen)
        ]
        missing = config.batch_size - len(segments)
        return packing.fill_rows(
            segments + [[]] * missing,
            config.row_tokens,
            bidirectional_prefix=config.prefix == "bidirectional",
            learn_prefix=config.prefix == "learned",
        )

    def write_with_languages(self, chosen: np.ndarray, first: int) -> rows.Arrays:
        """Returns what `write` does, and `languages`: the language of each token, int32 [B, T]."""
        batch = self.write(chosen, first)
        languages = np.full(batch["tokens"].shape, NO_LANGUAGE, np.int32)
        for place, row in enumerate(chosen):
            texts = self.packed.windows.text[self.packed.rows[row]]
            # Segments are numbered from 1 within a row; number 0 is padding.
            of_segment = np.concatenate([[NO_LANGUAGE], self.source.languages[texts]])
            languages[place] = of_segment[batch["segment_ids"][place]]
        return batch | {"languages": languages}


def text_batches(source: TextSource, config: TextConfig) -> "grain.DatasetIterator[rows.Arrays]":
    """Returns an iterator over training batches.

    Args:
      source: the texts.
      config: size, order, prefixes and holes, and share of this process.

    Returns:
      An iterator over dictionaries with the fields of `TextBatch`, int32 [batch_size, row_tokens]
      each, as `hrm_jax.data.rows.batches_of_rows` gives them: resumable through `get_state()`.

    Raises:
      ValueError: holes are asked for and the tokenizer has no marks for them, or not one batch
        would come.
    """
    if config.infilling_rate and source.infilling is None:
        raise ValueError(
            "this source's tokenizer has no tokens for fill-in-the-middle: set infilling_rate=0, or"
            " take a tokenizer that has them, such as one of train_bpe"
        )
    writer = _Writer(source, config)
    return rows.batches_of_rows(len(writer.packed.rows), config, writer.write)


def as_text_batch(rows: Mapping[str, Any]) -> TextBatch:
    """Returns the arrays of a batch as a `TextBatch`."""
    return TextBatch(rows["tokens"], rows["labels"], rows["token_types"], rows["segment_ids"])


def evaluation_batches(
    source: TextSource,
    batch_size: int,
    row_tokens: int,
    *,
    prefix: PrefixKind = "learned",
    process_index: int = 0,
    process_count: int = 1,
) -> "grain.DatasetIterator[rows.Arrays]":
    """Returns an iterator over every text once, without random prefixes and holes.

    Args:
      source: the texts.
      batch_size: rows a batch on this process.
      row_tokens: T.
      prefix: what the texts' own prefixes are.
      process_index: which process this is; the processes share each batch as in training.
      process_count: number of processes; all get the same number of batches.

    Returns:
      An iterator over dictionaries with the fields of `TextBatch` and `languages`, int32
      [batch_size, row_tokens], the index into `LANGUAGES` of each token's text, or `NO_LANGUAGE`.
      What is missing in the last batch is padding. The bytes that a label adds are
      `source.token_sizes[label]`: bits per byte are the summed losses over log 2 and these bytes.
    """
    config = TextConfig(
        batch_size,
        shuffle=False,
        num_epochs=1,
        drop_remainder=False,
        process_index=process_index,
        process_count=process_count,
        row_tokens=row_tokens,
        prefix=prefix,
    )
    writer = _Writer(source, config)
    return rows.batches_of_rows(len(writer.packed.rows), config, writer.write_with_languages)
