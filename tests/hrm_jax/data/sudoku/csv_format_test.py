"""Puzzles are written as Sudoku-Extreme writes them, always in the same bytes."""

import gzip

import numpy as np
import pytest

from hrm_jax.data.sudoku import csv_format, generator

PUZZLES = generator.generate(np.random.default_rng(0), 30)
HEADER = "source,question,answer,rating"


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a.csv.gz", "b.csv.gz"):
        csv_format.write(tmp_path / name, PUZZLES, ["here"] * len(PUZZLES))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode().startswith(HEADER)


def test_write_refuses_what_it_cannot_quote(tmp_path):
    with pytest.raises(ValueError, match="no comma"):
        csv_format.write(tmp_path / "p.csv", PUZZLES.take(slice(0, 1)), ["a,b"])
    with pytest.raises(ValueError, match="argument"):
        csv_format.write(tmp_path / "p.csv", PUZZLES, ["a"])
