"""The shipped bank, and a small one made anew."""

import collections
import hashlib

import numpy as np
import pytest

from hrm_jax.data.sudoku import bank, canonical, puzzle_files, solver

SMALL = bank.BankConfig(seed=1, train=12, validation=6, test=6, chunk=60, tries=100)


@pytest.fixture(scope="module")
def small():
    return bank.make_bank(SMALL)


def test_sizes_and_bands_are_as_asked(small):
    assert list(small) == list(bank.SPLITS)
    for split, content in small.items():
        bands = collections.Counter(map(solver.rating_band, content.puzzles.ratings.tolist()))
        assert bands == dict.fromkeys(range(6), SMALL.sizes[split] // 6)


def test_puzzles_are_unique_and_rated(small):
    for content in small.values():
        found = solver.search_many(content.puzzles.questions)
        np.testing.assert_array_equal(found.counts, np.ones(len(content.puzzles)))
        np.testing.assert_array_equal(found.solutions, content.puzzles.answers)
        np.testing.assert_array_equal(found.guesses, content.puzzles.ratings)


def test_no_class_occurs_twice_and_classes_decide_the_split(small):
    names = [name for content in small.values() for name in content.classes]
    assert len(set(names)) == len(names)
    for split, content in small.items():
        assert canonical.grid_classes(content.puzzles.answers) == content.classes
        assert {bank.split_of(name, SMALL) for name in content.classes} == {split}


def test_the_seed_decides_and_progress_ends_at_nothing_missing(small):
    reports = []
    again = bank.make_bank(SMALL, reports.append)
    for split, content in again.items():
        np.testing.assert_array_equal(content.puzzles.questions, small[split].puzzles.questions)
        assert content.sources == small[split].sources
        assert reports[-1][split].tolist() == [0] * 6


def test_splits_follow_their_sizes():
    rng = np.random.default_rng(0)
    names = [f"{value:016x}" for value in rng.integers(2**64, size=20_000, dtype=np.uint64)]
    shares = collections.Counter(bank.split_of(name, SMALL) for name in names)
    assert abs(shares["train"] / len(names) - 0.5) < 0.02
    assert abs(shares["test"] / len(names) - 0.25) < 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train": 0},
            "train: expected a multiple of 6 and 6 or more, got 0; each of",
        ),
        (
            {"test": 20},
            "test: expected a multiple of 6 and 6 or more, got 20; each of",
        ),
        ({"seed": -1}, "seed: expected 0 or more"),
        ({"chunk": 0}, "chunk: expected 1 or more"),
        ({"tries": -1}, "tries: expected 0 or more"),
    ],
)
def test_configs_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        bank.BankConfig(**change)


def test_shipped_splits_are_named():
    with pytest.raises(ValueError, match="train, validation, test, not 'valid'"):
        bank.shipped_file("valid")


@pytest.fixture(scope="module")
def shipped():
    return {split: puzzle_files.read(bank.shipped_file(split)) for split in bank.SPLITS}


def test_shipped_bank_is_balanced_and_unique(shipped):
    config = bank.BankConfig()
    for split, puzzles in shipped.items():
        bands = np.bincount([solver.rating_band(r) for r in puzzles.ratings.tolist()])
        np.testing.assert_array_equal(bands, np.full(6, config.sizes[split] // 6))
        sample = puzzles.take(slice(0, 500))
        found = solver.search_many(sample.questions)
        np.testing.assert_array_equal(found.counts, np.ones(500))
        np.testing.assert_array_equal(found.guesses, sample.ratings)


def test_shipped_splits_share_no_class(shipped):
    # Equal classes have equal fingerprints; where two fingerprints meet, the classes must differ.
    prints = {split: canonical.class_fingerprints(p.answers) for split, p in shipped.items()}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        common = np.intersect1d(prints[one], prints[other])
        classes = [
            set(canonical.grid_classes(shipped[s].answers[np.isin(prints[s], common)]))
            for s in (one, other)
        ]
        assert not classes[0] & classes[1]


def test_shipped_classes_decide_the_split(shipped):
    config = bank.BankConfig()
    for split, puzzles in shipped.items():
        names = canonical.grid_classes(puzzles.answers[:200])
        assert {bank.split_of(name, config) for name in names} == {split}


def test_shipped_files_are_those_of_this_version():
    # Prepared data is reused as long as the builder's version stays: change both together.
    digest = hashlib.sha256()
    for split in bank.SPLITS:
        digest.update(bank.shipped_file(split).read_bytes())
    assert digest.hexdigest()[:16] == "d67f6c204af1ba04"
