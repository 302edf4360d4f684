"""The table of the GPU kernels' blocks."""

import dataclasses
import itertools

import pytest

from hrm_kernels.gpu_tiles import MEASURED, TILES, Tile, replaced, tile
from hrm_kernels.operands import Case

KERNELS = tuple(TILES[MEASURED])
CASE = Case(T=4096, S=4096, N=8, M=8, K=64, dtype="bfloat16", generation="hopper")


def test_a_tile_is_no_larger_than_what_it_cuts():
    assert Tile(128, 64, warps=8, stages=2).within(T=5, S=40) == Tile(16, 64, warps=8, stages=2)
    assert Tile(128, 64, warps=8, stages=2).within(T=500, S=33) == Tile(128, 64, 8, 2)


@pytest.mark.parametrize("generation", [*TILES, "blackwell", None])
def test_every_case_has_a_tile(generation):
    for kernel, dtype, K in itertools.product(KERNELS, ("float32", "float16"), (8, 64, 80, 256)):
        found = tile(kernel, dataclasses.replace(CASE, K=K, dtype=dtype, generation=generation))
        for size in (found.queries, found.keys, found.warps):
            assert size & (size - 1) == 0
        assert found.stages >= 1


def test_the_table_goes_by_dtype_and_head_size():
    assert tile("tiled", CASE) == Tile(128, 64, 8, 2)
    assert tile("tiled", dataclasses.replace(CASE, K=65)) == Tile(128, 128, 8, 2)
    assert tile("tiled", dataclasses.replace(CASE, dtype="float32")) == Tile(64, 32, 8, 2)


def test_cards_with_little_shared_memory_have_smaller_blocks():
    wide = dataclasses.replace(CASE, K=128)
    assert tile("tiled_d_key", dataclasses.replace(wide, generation="ada")) == Tile(64, 64, 4, 2)
    assert tile("tiled_d_key", wide) == Tile(64, 128, 8, 3)
    assert tile("tiled", dataclasses.replace(wide, generation="ada")) == tile("tiled", wide)


def test_an_unknown_generation_takes_the_measured_rows():
    assert tile("tiled", dataclasses.replace(CASE, generation=None)) == tile("tiled", CASE)


@pytest.mark.parametrize("generation", ["hopper", "ada", None])
def test_a_tile_is_replaced_for_a_while(generation):
    case = dataclasses.replace(CASE, generation=generation)
    before = tile("tiled", case)
    other = Tile(16, 16, 4, 1)
    with replaced("tiled", other):
        assert tile("tiled", case) == other
        assert tile("tiled_d_key", case) != other
    assert tile("tiled", case) == before
