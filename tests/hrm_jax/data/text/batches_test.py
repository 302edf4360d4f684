"""Batches of text: content, resuming, processes, epochs, prefixes and holes."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.config import ConfigError
from hrm_jax.core.texts import TextBatch
from hrm_jax.core.types import IGNORE_LABEL
from hrm_jax.data.text import batches
from hrm_jax.data.text.languages import LANGUAGES
from hrm_jax.data.text.source import NO_LANGUAGE, Text, TextSource, tokenize
from hrm_jax.data.text.tokenizers import ByteTokenizer

EOS = ByteTokenizer.eos_tokens[0]
MARKS = ByteTokenizer.infilling


class WithBeginning(ByteTokenizer):
    """Bytes, and a token 260 with which texts begin."""

    vocab_size = 261
    bos_token = 260

    def begin(self, text):
        return [self.bos_token, *self.encode(text)]


def _source(count=30, tokenizer=None):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdef"), rng.integers(1, 60))) for _ in range(count)]
    return tokenize((Text(text, language="python") for text in texts), tokenizer or ByteTokenizer())


def _config(**changes):
    return batches.TextConfig(
        **({"batch_size": 3, "row_tokens": 24, "prefetch_batches": 0} | changes)
    )


def _take(source, count=None, **changes):
    return list(itertools.islice(batches.text_batches(source, _config(**changes)), count))


def _assert_equal(found, expected):
    assert len(found) == len(expected)
    for batch, other in zip(found, expected, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def _segments(batch):
    """Tokens, labels and token types of every segment of a batch."""
    for row in range(len(batch["tokens"])):
        for number in range(1, batch["segment_ids"][row].max() + 1):
            here = batch["segment_ids"][row] == number
            yield tuple(batch[name][row, here] for name in ("tokens", "labels", "token_types"))


def test_batches_are_the_fields_of_a_text_batch():
    batch = _take(_source(), 1)[0]
    TextBatch(**batch)
    assert {array.shape for array in batch.values()} == {(3, 24)}
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), WithBeginning()])
def test_an_epoch_has_every_token_once_and_every_prediction(tokenizer):
    source = _source(tokenizer=tokenizer)
    epoch = _take(source, num_epochs=1, drop_remainder=False)
    tokens = np.concatenate([batch["tokens"][batch["segment_ids"] > 0] for batch in epoch])
    np.testing.assert_array_equal(np.sort(tokens), np.sort(source.tokens))
    labels = np.concatenate([batch["labels"].ravel() for batch in epoch])
    labels = labels[labels != IGNORE_LABEL]
    firsts = source.tokens[source.starts]
    expected = np.sort(np.concatenate([labels, firsts]))
    np.testing.assert_array_equal(expected, np.sort(source.tokens))
    assert (firsts == 260).all() == source.begins


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 7])
def test_an_iterator_goes_on_where_its_state_was_taken(taken, prefetch):
    source = _source()
    config = _config(infilling_rate=0.5, prefetch_batches=prefetch)
    iterator = batches.text_batches(source, config)
    for _ in range(taken):
        next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = list(itertools.islice(iterator, 5))
    again = batches.text_batches(source, config)
    again.set_state(state)
    _assert_equal(list(itertools.islice(again, 5)), expected)


def test_processes_share_each_batch():
    source = _source()
    changes = {"infilling_rate": 0.3, "num_epochs": 2, "drop_remainder": False}
    single = _take(source, batch_size=4, **changes)
    shares = [
        _take(source, batch_size=2, process_index=index, process_count=2, **changes)
        for index in range(2)
    ]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shares, strict=True)
    ]
    _assert_equal(joined, single)


def test_epochs_differ_in_order_and_seeds_in_packing():
    source = _source()
    count = len(_take(source, num_epochs=1, batch_size=1))
    both = _take(source, num_epochs=2, batch_size=1)
    first, second = (
        [batch["tokens"].tobytes() for batch in part] for part in (both[:count], both[count:])
    )
    assert first != second
    assert sorted(first) == sorted(second)
    other = _take(source, num_epochs=1, batch_size=1, seed=1)
    assert sorted(batch["tokens"].tobytes() for batch in other) != sorted(first)


@settings(max_examples=30, deadline=None)
@given(rate=st.sampled_from([0.3, 1.0]), seed=st.integers(0, 20), begins=st.booleans())
def test_holes_move_text_and_lose_none(rate, seed, begins):
    source = _source(20, WithBeginning() if begins else None)
    for batch in _take(source, 4, infilling_rate=rate, seed=seed, row_tokens=20, prefix="causal"):
        for tokens, labels, _ in _segments(batch):
            if MARKS.prefix not in tokens:
                continue
            tokens = tokens.tolist()
            assert tokens.index(MARKS.prefix) == int(tokens[0] == 260)
            assert tokens[-1] == EOS
            middle = tokens.index(MARKS.middle)
            assert tokens.index(MARKS.suffix) < middle
            assert (labels[:middle] == IGNORE_LABEL).all()
            assert labels[middle:-1].tolist() == tokens[middle + 1 :]
            assert labels[-1] == IGNORE_LABEL


def test_every_window_has_a_hole_at_rate_one_drawn_anew_in_each_epoch():
    source = _source()
    both = _take(source, num_epochs=2, infilling_rate=1.0, batch_size=1)
    holes = [tokens.tolist() for batch in both for tokens, _, _ in _segments(batch)]
    assert all(tokens.count(MARKS.middle) == 1 for tokens in holes)
    assert len({tuple(tokens) for tokens in holes}) > 0.9 * len(holes)


@pytest.mark.parametrize("kind", ["bidirectional", "causal", "learned"])
def test_own_prefixes_are_kept(kind):
    source = tokenize([Text("answer", prefix="question")], ByteTokenizer())
    batch = _take(source, 1, prefix=kind, batch_size=1)[0]
    ((tokens, labels, types),) = _segments(batch)
    assert bytes(tokens[:-1].tolist()) == b"questionanswer"
    assert types.sum() == (8 if kind == "bidirectional" else 0)
    assert (labels != IGNORE_LABEL).sum() == (14 if kind == "learned" else 7)
    assert labels[7] == ord("a")


def test_random_prefixes_leave_something_to_learn():
    source = _source()
    lengths = [
        (int(types.sum()), len(tokens))
        for batch in _take(source, 20, prefix="bidirectional", prefix_rate=1.0)
        for tokens, _, types in _segments(batch)
    ]
    assert all(prefix < size for prefix, size in lengths)
    assert np.mean([prefix / size for prefix, size in lengths]) == pytest.approx(0.45, abs=0.1)


@pytest.mark.parametrize("process_count", [1, 2])
def test_evaluation_has_each_text_once_in_order_with_its_language(process_count):
    languages = ["java", "python", None, "sql"]
    texts = [Text("ab" * (5 + i), language=name) for i, name in enumerate(languages)]
    source = tokenize(texts, ByteTokenizer())
    shares = [
        list(
            batches.evaluation_batches(
                source, 2, 16, process_index=index, process_count=process_count
            )
        )
        for index in range(process_count)
    ]
    found = [batch for step in zip(*shares, strict=True) for batch in step]
    sizes = dict.fromkeys(languages, 0)
    for batch in found:
        assert batch["tokens"].shape == (2, 16)
        assert (batch["languages"][batch["segment_ids"] == 0] == NO_LANGUAGE).all()
        counted = batch["labels"] != IGNORE_LABEL
        for name in languages:
            number = NO_LANGUAGE if name is None else LANGUAGES.index(name)
            here = counted & (batch["languages"] == number)
            sizes[name] += source.token_sizes[batch["labels"][here]].sum()
    # All bytes but the first of each text, which nothing predicts.
    assert sizes == {text.language: len(text.text) - 1 for text in texts}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_tokens": 4}, "row_tokens: expected 5 or more, got 4; rows of 512"),
        (
            {"prefix": "both"},
            "prefix: expected one of .*'causal', 'learned', got .*; take",
        ),
        ({"prefix_rate": 1.5, "prefix": "causal"}, "prefix_rate: expected 0 to 1"),
        ({"infilling_rate": -0.1}, "infilling_rate: expected 0 to 1"),
        ({"prefix_rate": 0.5}, "where it would change nothing"),
    ],
)
def test_configs_are_checked(change, message):
    with pytest.raises(ConfigError, match=message):
        _config(**change)


def test_what_rows_check_is_checked():
    with pytest.raises(ValueError, match="batch_size: expected 1 or more"):
        _config(batch_size=0)


def test_holes_need_marks():
    class WithoutMarks(ByteTokenizer):
        infilling = None

    source = _source(tokenizer=WithoutMarks())
    with pytest.raises(ValueError, match="no tokens for fill-in-the-middle"):
        batches.text_batches(source, _config(infilling_rate=0.5))


def test_sources_are_checked():
    with pytest.raises(ValueError, match="needs at least one text"):
        tokenize([], ByteTokenizer())
    with pytest.raises(ValueError, match="'klingon' is none of the languages python"):
        tokenize([Text("a", language="klingon")], ByteTokenizer())
    good = _source(3)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ValueError, match="an entry for each text"):
        TextSource(**fields | {"languages": good.languages[:2]})
    with pytest.raises(ValueError, match="must grow up to the number of tokens"):
        TextSource(**fields | {"ends": good.ends - 1})
