"""Batches: content, order, resuming, processes, the end."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.types import IGNORE_LABEL
from hrm_jax.data import pipeline, rows

TOKENS = 9


def _augment(inputs, labels, seed, first_index):
    """Adds a number that depends on the seed and the position to every token of a row."""
    position = first_index + np.arange(len(inputs))
    shift = ((position * 7 + seed) % 5).astype(np.uint8)[:, None]
    return inputs + shift, labels + shift


def _source(count, augment=_augment):
    """Row r holds r % 200 in its inputs, 50 more in its labels, and r as its rating."""
    rows = np.repeat((np.arange(count) % 200).astype(np.uint8)[:, None], TOKENS, axis=1)
    return pipeline.Source(rows, rows + np.uint8(50), np.arange(count, dtype=np.int32), augment)


def _config(**changes):
    return pipeline.PipelineConfig(**({"batch_size": 4, "prefetch_batches": 0} | changes))


def _assert_equal(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


@given(st.integers(0, 9), st.integers(0, TOKENS - 1), st.sampled_from(["inputs", "labels"]))
def test_a_fingerprint_is_of_every_token(row, token, name):
    source = _source(10)
    same = _source(10, augment=None)
    assert source.fingerprint() == same.fingerprint()
    getattr(same, name)[row, token] += 1
    assert source.fingerprint() != same.fingerprint()


def test_a_fingerprint_is_of_the_order_and_the_number_of_puzzles():
    source = _source(10)
    turned = pipeline.Source(source.inputs[::-1], source.labels[::-1], source.rating)
    fingerprints = {s.fingerprint() for s in (source, turned, _source(9), _source(11))}
    assert len(fingerprints) == 4


def test_batches_have_the_documented_form():
    batch = next(pipeline.training_batches(_source(10), _config()))
    assert {name: array.shape for name, array in batch.items()} == {
        "inputs": (4, TOKENS),
        "labels": (4, TOKENS),
        "puzzle_identifiers": (4,),
        "rating": (4,),
    }
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
    assert not batch["puzzle_identifiers"].any()


def test_inputs_labels_and_rating_stay_together():
    for batch in itertools.islice(pipeline.training_batches(_source(10), _config()), 9):
        np.testing.assert_array_equal(batch["labels"], batch["inputs"] + 50)
        shift = batch["inputs"][:, 0] - batch["rating"]
        assert ((shift >= 0) & (shift < 5)).all()


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5), st.integers(1, 4))
def test_every_epoch_visits_every_puzzle_once(count, batch_size, seed, epochs):
    config = _config(batch_size=batch_size, seed=seed, num_epochs=epochs, drop_remainder=False)
    batches = list(pipeline.training_batches(_source(count), config))
    assert len(batches) == rows.num_batches(count, config)
    ratings = np.concatenate([batch["rating"] for batch in batches])
    visits = ratings[: epochs * count]
    padding = ratings[epochs * count :]
    assert (padding == pipeline.PADDING_RATING).all()
    for epoch in visits.reshape(epochs, count):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(count))


def test_epochs_have_orders_of_their_own_unless_told_otherwise():
    config = _config(batch_size=50, num_epochs=2)
    first, second = (b["rating"] for b in pipeline.training_batches(_source(50), config))
    assert (first != second).any()
    other = next(pipeline.training_batches(_source(50), _config(batch_size=50, seed=1)))
    assert (first != other["rating"]).any()
    straight = next(pipeline.training_batches(_source(50), _config(batch_size=60, shuffle=False)))
    np.testing.assert_array_equal(straight["rating"], [*range(50), *range(10)])


def test_remainder_is_dropped_or_filled_with_ignored_rows():
    dropped = list(pipeline.training_batches(_source(10), _config(num_epochs=1)))
    assert len(dropped) == 2
    filled = list(
        pipeline.training_batches(_source(10), _config(num_epochs=1, drop_remainder=False))
    )
    _assert_equal(filled[:2], dropped)
    assert (filled[2]["labels"][2:] == IGNORE_LABEL).all()
    assert (filled[2]["inputs"][2:] == pipeline.PAD_TOKEN).all()
    assert (filled[2]["labels"][:2] != IGNORE_LABEL).all()


@pytest.mark.parametrize("prefetch_batches", [0, 2])
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_resuming_gives_the_same_batches(prefetch_batches, taken):
    config = _config(prefetch_batches=prefetch_batches)
    whole = pipeline.training_batches(_source(10), config)
    for _ in range(taken):
        next(whole)
    state = json.loads(json.dumps(whole.get_state()))
    expected = list(itertools.islice(whole, 6))
    resumed = pipeline.training_batches(_source(10), config)
    resumed.set_state(state)
    _assert_equal(list(itertools.islice(resumed, 6)), expected)


@pytest.mark.parametrize("process_count", [2, 3])
@pytest.mark.parametrize("drop_remainder", [True, False])
def test_processes_share_the_batches_of_a_single_one(process_count, drop_remainder):
    options = {"num_epochs": 3, "drop_remainder": drop_remainder}
    single = list(
        pipeline.training_batches(_source(10), _config(batch_size=4 * process_count, **options))
    )
    shares = [
        list(
            pipeline.training_batches(
                _source(10),
                _config(process_index=index, process_count=process_count, **options),
            )
        )
        for index in range(process_count)
    ]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shares, strict=True)
    ]
    _assert_equal(joined, single)


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (8, 4), (3, 7), (1, 1)])
@pytest.mark.parametrize("process_count", [1, 2])
def test_evaluation_visits_every_puzzle_once_in_order(count, batch_size, process_count):
    source = _source(count)
    shares = [
        list(pipeline.evaluation_batches(source, batch_size, index, process_count))
        for index in range(process_count)
    ]
    assert len({len(share) for share in shares}) == 1
    batches = [batch for step in zip(*shares, strict=True) for batch in step]
    ratings = np.concatenate([batch["rating"] for batch in batches])
    ignored = np.concatenate([(b["labels"] == IGNORE_LABEL).all(1) for b in batches])
    np.testing.assert_array_equal(ratings[~ignored], np.arange(count))
    assert (ratings[ignored] == pipeline.PADDING_RATING).all()
    inputs = np.concatenate([batch["inputs"] for batch in batches])[~ignored]
    np.testing.assert_array_equal(inputs, source.inputs)
    assert all(batch["inputs"].shape == (batch_size, TOKENS) for batch in batches)


def test_without_augmentation_puzzles_come_as_they_are():
    for source in (_source(10, augment=None), _source(10)):
        batch = next(pipeline.training_batches(source, _config(augment=False)))
        np.testing.assert_array_equal(batch["inputs"][:, 0], batch["rating"])


def test_augmentation_must_exist():
    with pytest.raises(ValueError, match="set augment=False"):
        pipeline.training_batches(_source(10, augment=None), _config())


def test_at_least_one_batch_must_come():
    with pytest.raises(ValueError, match=r"2 epoch\(s\) of 3 rows do not fill one batch of 8"):
        pipeline.training_batches(_source(3), _config(num_epochs=2, batch_size=8))
    assert len(next(pipeline.training_batches(_source(3), _config(batch_size=8)))["rating"]) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected 1 or more, got 0"),
        ({"seed": -1}, "seed: expected 0 or more"),
        ({"num_epochs": 0}, "num_epochs: expected 1 or more"),
        ({"prefetch_batches": -1}, "prefetch_batches: expected 0 or more"),
        ({"process_count": 0}, "process_count: expected 1 or more"),
        (
            {"process_index": 2, "process_count": 2},
            "process_index: expected less than process_c",
        ),
        ({"process_index": -1}, "process_index: expected 0 or more"),
    ],
)
def test_configs_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        _config(**change)


def test_sources_are_checked():
    good = _source(3)
    with pytest.raises(ValueError, match=r"inputs must be uint8 with 2 dimension.*int64"):
        pipeline.Source(good.inputs.astype(np.int64), good.labels, good.rating)
    with pytest.raises(ValueError, match="rating must be int32 with 1 dimension"):
        pipeline.Source(good.inputs, good.labels, good.rating[:, None])
    with pytest.raises(ValueError, match="must agree in shape"):
        pipeline.Source(good.inputs, good.labels, good.rating[:2])
    with pytest.raises(ValueError, match="at least one puzzle"):
        pipeline.Source(good.inputs[:0], good.labels[:0], good.rating[:0])


def test_fixed_augmentations_keep_the_originals_and_add_symmetric_copies():
    few = _source(5)
    expanded = pipeline.with_fixed_augmentations(few, 3, seed=1)
    assert expanded.augment is None
    np.testing.assert_array_equal(expanded.inputs[:5], few.inputs)
    np.testing.assert_array_equal(expanded.rating, [*range(5), *np.repeat(range(5), 3)])
    copies = np.repeat(few.inputs, 3, axis=0), np.repeat(few.labels, 3, axis=0)
    for found, expected in zip(
        (expanded.inputs, expanded.labels), _augment(*copies, 1, 0), strict=True
    ):
        np.testing.assert_array_equal(found[5:], expected)


def test_fixed_augmentations_need_symmetries():
    with pytest.raises(ValueError, match="this one has none"):
        pipeline.with_fixed_augmentations(_source(3, augment=None), 2, seed=0)
