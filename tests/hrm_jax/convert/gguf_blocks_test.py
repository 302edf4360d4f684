"""Quantised tensors keep their values: `gguf`'s own widening is the oracle, bit for bit."""

import numpy as np
import pytest

gguf = pytest.importorskip("gguf", reason="needs the extra foundation")

# ruff: noqa: E402
import hrm_kernels
from hrm_jax.convert import gguf_blocks
from hrm_jax.convert.gguf_blocks import KINDS, StoredRows, quantized

V = 40
D = 512
HALVES = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
"""Bytes of a block at which its float16 factors begin, where it is not the first byte alone."""


def rows(kind):
    """Returns random rows whose factors are finite."""
    rng = np.random.default_rng(0)
    size = KINDS[kind].bytes
    blocks = rng.integers(0, 256, (V, D // KINDS[kind].elements, size), np.uint8)
    for begin in HALVES.get(kind, (0,)):
        factors = rng.standard_normal(blocks.shape[:2]).astype("<f2")
        blocks[..., begin : begin + 2] = factors[..., None].view(np.uint8)
    return blocks.reshape(V, -1)


@pytest.mark.parametrize("piece", [1 << 19, 16 * D])
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_file(kind, piece, monkeypatch):
    monkeypatch.setattr(gguf_blocks, "_PIECE", piece)
    stored = rows(kind)
    expected = gguf.quants.dequantize(stored, gguf.GGMLQuantizationType[kind])
    matrix = quantized(StoredRows(kind, lambda: stored))
    np.testing.assert_array_equal(hrm_kernels.dequantize(matrix), expected)
    # Integers of scales take 8 bits here and 6 there.
    assert matrix.nbytes <= 1.06 * -(-V // 16) * 16 / V * stored.nbytes


def test_sizes_of_blocks_are_those_of_the_package():
    for name, kind in KINDS.items():
        sizes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
        assert sizes == (kind.elements, kind.bytes)
