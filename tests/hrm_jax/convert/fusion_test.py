"""Parts and wholes."""

import numpy as np
import pytest

from hrm_jax.convert.fusion import Fusion, fuse, split
from hrm_jax.convert.weights import Deferred

FUSIONS = (Fusion("attn.qkv", {"q": 2, "k": 1, "v": 1}), Fusion("attn.out", {"o": 1}))
WHOLE = {
    "layers.0.attn.qkv.weight": np.arange(24.0).reshape(8, 3),
    "layers.0.attn.qkv.bias": np.arange(8.0),
    "layers.0.attn.out.weight": np.ones((2, 2)),
    "norm.weight": np.ones(3),
}


def test_parts_have_their_shares_of_the_rows():
    found = split(WHOLE, FUSIONS)
    assert {name: array.shape for name, array in found.items()} == {
        "layers.0.q.weight": (4, 3),
        "layers.0.k.weight": (2, 3),
        "layers.0.v.weight": (2, 3),
        "layers.0.q.bias": (4,),
        "layers.0.k.bias": (2,),
        "layers.0.v.bias": (2,),
        "layers.0.o.weight": (2, 2),
        "norm.weight": (3,),
    }
    np.testing.assert_array_equal(found["layers.0.k.bias"], [4, 5])


def test_fuse_is_the_inverse_of_split_and_leaves_wholes():
    for weights in (split(WHOLE, FUSIONS), WHOLE):
        found = fuse(weights, FUSIONS)
        assert found.keys() == WHOLE.keys()
        for name, array in found.items():
            assert array.shape == WHOLE[name].shape
            np.testing.assert_array_equal(np.asarray(array), WHOLE[name])


def test_parts_are_read_when_the_whole_is_and_not_before():
    reads = []

    def deferred(rows: int) -> Deferred:
        def read() -> np.ndarray:
            reads.append(rows)
            return np.zeros((rows, 3), np.float32)

        return Deferred((rows, 3), np.dtype(np.float32), read)

    parts = {f"l.{name}.weight": deferred(rows) for name, rows in (("q", 4), ("k", 2), ("v", 2))}
    whole = fuse(parts, FUSIONS)["l.attn.qkv.weight"]
    assert (whole.shape, reads) == ((8, 3), [])
    assert np.asarray(whole).shape == (8, 3)
    assert reads == [4, 2, 2]


@pytest.mark.parametrize("missing", ["q", "k", "v"])
def test_what_lacks_a_part_stays(missing):
    weights = split(WHOLE, FUSIONS)
    del weights[f"layers.0.{missing}.weight"]
    found = fuse(weights, FUSIONS)
    assert "layers.0.attn.qkv.weight" not in found
    assert "layers.0.attn.qkv.bias" in found
