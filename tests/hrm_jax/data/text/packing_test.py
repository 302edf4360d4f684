"""Packing: nothing lost, nothing across segments, labels right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.types import IGNORE_LABEL
from hrm_jax.data.text import packing
from hrm_jax.data.text.packing import Segment

LENGTHS = st.lists(st.integers(0, 40), max_size=40)


def _fill(rows, row_length, bidirectional_prefix=False, learn_prefix=True):
    return packing.fill_rows(
        rows,
        row_length,
        bidirectional_prefix=bidirectional_prefix,
        learn_prefix=learn_prefix,
    )


@given(lengths=LENGTHS, longest=st.integers(1, 50))
def test_windows_cover_each_text_once_in_order(lengths, longest):
    windows = packing.cut(np.array(lengths, int), longest)
    found = [[] for _ in lengths]
    for text, start, stop in zip(windows.text, windows.start, windows.stop, strict=True):
        assert 0 < stop - start <= longest
        found[text].extend(range(start, stop))
    assert found == [list(range(length)) for length in lengths]
    assert len(windows.text) == sum(-(-length // longest) for length in lengths)


@given(
    sizes=st.lists(st.integers(1, 12), max_size=80),
    spare=st.integers(0, 9),
    opened=st.integers(1, 5),
)
def test_best_fit_lays_every_piece_once_and_overfills_no_row(sizes, spare, opened):
    row_length = max(sizes, default=1) + spare
    rows = packing.best_fit(np.array(sizes, int), row_length, opened)
    assert sorted(piece for row in rows for piece in row) == list(range(len(sizes)))
    for row in rows:
        assert row == sorted(row)
        assert 0 < sum(sizes[piece] for piece in row) <= row_length


def test_best_fit_takes_the_fullest_row_with_room():
    assert packing.best_fit(np.array([5, 6, 6, 5, 3]), 10) == [[0, 3], [1, 4], [2]]


def test_of_too_many_open_rows_the_fullest_closes():
    # 7 and 8 close before the pieces of 3 and 2 that would have fitted.
    assert packing.best_fit(np.array([7, 8, 9, 3, 2]), 10, open_rows=1) == [[1], [2], [0, 3], [4]]


def test_few_places_stay_empty():
    sizes = np.random.default_rng(0).integers(1, 1000, size=20_000)
    assert sizes.sum() > 0.98 * 1024 * len(packing.best_fit(sizes, 1024))


@pytest.mark.parametrize("size", [0, 11])
def test_pieces_must_fit_a_row(size):
    with pytest.raises(ValueError, match="must have 1 to 10 tokens, a row's length"):
        packing.best_fit(np.array([3, size]), 10)


@settings(max_examples=60)
@given(lengths=LENGTHS, row_length=st.integers(1, 30), prefixes=st.booleans(), learn=st.booleans())
def test_every_token_is_predicted_from_what_stands_before_it_in_its_text(
    lengths, row_length, prefixes, learn
):
    rng = np.random.default_rng([len(lengths), row_length])
    texts = [rng.integers(0, 10**6, size=length) for length in lengths]
    prefix = [int(rng.integers(0, length + 1)) if prefixes else 0 for length in lengths]
    windows = packing.cut(np.array(lengths, int), row_length)
    segments = []
    places = []
    for text, start, stop in zip(windows.text, windows.start, windows.stop, strict=True):
        whole = texts[text]
        after = whole[stop] if stop < len(whole) else IGNORE_LABEL
        segments.append(Segment(whole[start:stop], max(0, prefix[text] - start), after))
        places.append((text, start))
    rows = packing.best_fit(windows.stop - windows.start, row_length)
    batch = _fill([[segments[i] for i in row] for row in rows], row_length, prefixes, learn)
    predicted = [[] for _ in lengths]
    for row, pieces in enumerate(rows):
        first = 0
        for number, piece in enumerate(pieces, start=1):
            text, start = places[piece]
            size = len(segments[piece].tokens)
            here = slice(first, first + size)
            assert (batch["segment_ids"][row, here] == number).all()
            np.testing.assert_array_equal(batch["tokens"][row, here], segments[piece].tokens)
            in_prefix = np.arange(start, start + size) < prefix[text]
            np.testing.assert_array_equal(batch["token_types"][row, here], in_prefix)
            for place, label in enumerate(batch["labels"][row, here], start=start + 1):
                if label != IGNORE_LABEL:
                    assert label == texts[text][place]
                    predicted[text].append(place)
            first += size
        assert (batch["segment_ids"][row, first:] == 0).all()
        assert (batch["labels"][row, first:] == IGNORE_LABEL).all()
    for text, length in enumerate(lengths):
        least = 1 if learn else max(1, prefix[text])
        assert sorted(predicted[text]) == list(range(least, length))


def test_a_row_must_have_room():
    with pytest.raises(ValueError, match="row 1 has 7 tokens or more, but room for 6"):
        _fill([[], [Segment(np.arange(3)), Segment(np.arange(4))]], 6)


def test_rows_have_the_documented_form():
    batch = _fill([[Segment(np.array([5, 6]), 1)], []], 3, bidirectional_prefix=True)
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}
    assert {name: array.tolist() for name, array in batch.items()} == {
        "tokens": [[5, 6, 0], [0, 0, 0]],
        "labels": [[6, IGNORE_LABEL, IGNORE_LABEL], [IGNORE_LABEL] * 3],
        "token_types": [[1, 0, 0], [0, 0, 0]],
        "segment_ids": [[1, 1, 0], [0, 0, 0]],
    }
