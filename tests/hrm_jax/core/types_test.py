"""The values between the layers are pytrees, and frozen."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.core.types import (
    IGNORE_LABEL,
    Batch,
    Buffer,
    Carry,
    Latents,
    Outputs,
    PuzzleRows,
    Variables,
)

TYPES = [Variables, Batch, Latents, Carry, Outputs]
B = 4
L = 50
D = 8


@pytest.mark.parametrize("cls", TYPES)
def test_every_field_is_a_child_in_order(cls):
    names = [field.name for field in dataclasses.fields(cls)]
    value = cls(*(jnp.full((2,), float(i)) for i in range(len(names))))
    paths = [path[-1].name for path, _ in jax.tree_util.tree_flatten_with_path(value)[0]]
    assert paths == names
    doubled = jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree))(value)
    assert isinstance(doubled, cls)
    assert [float(getattr(doubled, name)[0]) for name in names] == [
        2.0 * i for i in range(len(names))
    ]


@pytest.mark.parametrize("cls", TYPES)
def test_fields_cannot_be_assigned(cls):
    fields = dataclasses.fields(cls)
    value = cls(*(jnp.zeros(1) for _ in fields))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, fields[0].name, jnp.ones(1))


def test_absent_parts_have_no_leaf():
    array = jnp.zeros(1)
    assert len(jax.tree.leaves(Variables(array, array, None))) == 2
    assert len(jax.tree.leaves(Outputs(array, array, array, None))) == 3


def test_the_three_kinds_of_variables_are_told_apart():
    """A buffer or a puzzle row that counted as a parameter would be trained by gradient."""
    assert not issubclass(Buffer, nnx.Param)
    assert not issubclass(PuzzleRows, nnx.Param)
    assert not issubclass(Buffer, PuzzleRows)
    assert not issubclass(PuzzleRows, Buffer)


def test_the_label_that_is_ignored_is_that_of_the_originals():
    """Their prepared data and PyTorch's losses say -100; no token is negative."""
    assert IGNORE_LABEL == -100


def carry_of(value: int, halted) -> Carry:
    state = jnp.full((B, L, D), float(value))
    tokens = jnp.full((B, L), value, jnp.int32)
    identifiers = jnp.full(B, value, jnp.int32)
    data = Batch(tokens, tokens, identifiers)
    return Carry(Latents(state, -state), jnp.full(B, value, jnp.int32), jnp.asarray(halted), data)


def test_those_that_start_take_everything_new_and_the_others_nothing():
    old = carry_of(3, [True, True, False, False])
    new = carry_of(5, [True] * 4)
    where = jnp.array([True, False, True, False])
    found = old.restart(where, new.latents, new.data)
    np.testing.assert_array_equal(found.steps, [0, 3, 0, 3])
    np.testing.assert_array_equal(found.halted, [False, True, False, False])
    for row, source in enumerate([new, old, new, old]):
        for name in ("latents", "data"):
            pair = getattr(found, name), getattr(source, name)
            jax.tree.map(lambda x, y, row=row: np.testing.assert_array_equal(x[row], y[row]), *pair)
