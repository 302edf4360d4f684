"""Masks as ranges against the dense form, which states each condition by itself."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import cases, reference
from hrm_kernels.mask import key_ranges

B = 3


def dense(mask: hrm_kernels.Mask, T: int, S: int) -> np.ndarray:
    """The ranges spelt out, [B, T, S]."""
    ranges = jax.jit(key_ranges, static_argnums=(1, 2, 3))(mask, B, T, S)
    if ranges is None:
        return np.ones((B, T, S), bool)
    first = np.asarray(ranges.first)
    end = np.asarray(ranges.end)
    assert (first >= 0).all()
    assert (end <= S).all()
    position = np.arange(S)
    return (first[..., None] <= position) & (position < end[..., None])


@pytest.mark.parametrize("kind", cases.MASKS)
@pytest.mark.parametrize(("T", "S"), [(1, 1), (9, 9), (4, 9), (40, 40)])
def test_ranges_are_the_dense_mask(kind, T, S):
    for seed in range(5):
        mask = cases.make_mask(kind, np.random.default_rng(seed), B, T, S)
        np.testing.assert_array_equal(dense(mask, T, S), reference.allowed(mask, B, T, S))


@st.composite
def masks(draw) -> tuple[hrm_kernels.Mask, int, int]:
    """Any combination of fields, for T queries from any position of S keys on."""
    S = draw(st.integers(1, 24))
    T = draw(st.integers(1, S))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    source = cases.make_mask(draw(st.sampled_from(["prefix", "packed_prefix"])), rng, B, T, S)
    offset = draw(st.integers(0, S - T))
    mask = hrm_kernels.Mask(
        causal=draw(st.booleans()),
        window=draw(st.none() | st.integers(1, S + 1)),
        query_offset=draw(st.sampled_from([offset, jnp.full(B, offset, jnp.int32)])),
        lengths=draw(st.none() | st.just(jnp.asarray(rng.integers(0, S + 1, B), jnp.int32))),
        prefix=source.prefix if draw(st.booleans()) else None,
        segment_ids=source.segment_ids,
    )
    return mask, T, S


@hypothesis.given(masks())
@hypothesis.settings(deadline=None, max_examples=60)
def test_any_combination_is_the_dense_mask(drawn):
    mask, T, S = drawn
    np.testing.assert_array_equal(dense(mask, T, S), reference.allowed(mask, B, T, S))


def test_a_causal_mask_by_hand():
    expected = np.tril(np.ones((4, 4), bool))
    np.testing.assert_array_equal(dense(hrm_kernels.Mask(causal=True), 4, 4)[0], expected)


def test_a_packed_prefix_by_hand():
    """Two segments, AAab and Ba, capitals being their prefixes."""
    mask = hrm_kernels.Mask(
        prefix=jnp.array([[1, 1, 0, 0, 1, 0]] * B, bool),
        segment_ids=jnp.array([[5, 5, 5, 5, 2, 2]] * B),
    )
    expected = [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]
    np.testing.assert_array_equal(dense(mask, 6, 6)[0], np.array(expected, bool))


def test_the_full_mask_needs_no_ranges():
    assert key_ranges(hrm_kernels.Mask(), B, 4, 4) is None
    assert key_ranges(hrm_kernels.Mask(query_offset=3), B, 4, 9) is None


MARKS = jnp.ones((B, 4), bool)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window": 0}, r"mask.window: expected 1 or more positions, got 0"),
        ({"lengths": jnp.ones(2)}, r"mask.lengths: expected shape \(3,\) .* got \(2,\)"),
        ({"segment_ids": jnp.ones((B, 5))}, r"mask.segment_ids: expected shape \(3, 4\)"),
        ({"prefix": jnp.ones((B, 5), bool)}, r"mask.prefix: expected shape \(3,\) or \(3, 4\)"),
        ({"query_offset": jnp.ones(4)}, r"mask.query_offset: expected shape \(\) or \(3,\)"),
        ({"prefix": MARKS.astype("int32")}, r"mask.prefix: expected \[B\] integers"),
        ({"prefix": jnp.ones(B, bool)}, r"mask.prefix: expected \[B\] integers"),
        (
            {"prefix": jnp.ones(B, "int32"), "segment_ids": jnp.ones((B, 4))},
            "mask.prefix: .* booleans with segment_ids",
        ),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        key_ranges(dataclasses.replace(hrm_kernels.Mask(), **fields), B, 4, 4)
