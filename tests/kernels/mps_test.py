"""Attention by `jax-mps`: when it is taken, what it is given, and what is made of its results.

The plugin is for Macs. A stand-in takes what the plugin's operation takes and gives what that does.
"""

import dataclasses
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import cases, mps, reference
from hrm_kernels.choice import choose, path
from hrm_kernels.device import Device
from hrm_kernels.operands import Case

HRM = Case(T=82, S=82, N=8, M=8, K=32, dtype="float32")
MAC = Device("mps")


@pytest.fixture
def plugin(monkeypatch) -> list[dict]:
    """Puts a stand-in for the plugin into place, and returns its calls."""
    calls = []

    def sdpa(q, k, v, *, scale=None, is_causal=False, mask=None):
        calls.append({"q": q.shape, "k": k.shape, "v": v.shape, "scale": scale, "mask": mask})
        assert not is_causal
        k, v = (jnp.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
        scores = jnp.einsum("BNTK,BNSK->BNTS", q, k) * scale
        if mask is not None:
            assert mask.dtype == bool
            scores = jnp.where(mask, scores, -jnp.inf)
        return jnp.einsum("BNTS,BNSK->BNTK", jax.nn.softmax(scores, axis=-1), v)

    for name in ("jax_plugins", "jax_plugins.mps", "jax_plugins.mps.ops"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["jax_plugins.mps.ops"], "sdpa", sdpa, raising=False)
    return calls


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"with_lse": True}, "no log-sum-exp; use backend='xla'"),
        ({"T": 2048, "masked": True}, None),
        ({"T": 16384, "masked": True}, r"masks of up to 1048576 scores, got 1343488"),
        ({"T": 131072, "S": 131072}, None),
        ({"N": 6, "M": 2, "K": 80, "dtype": "float16"}, None),
    ],
)
def test_what_it_serves(change, reason, plugin):
    refusal = mps.refuses(dataclasses.replace(HRM, **change))
    assert (refusal is None) == (reason is None)
    if reason is not None:
        with pytest.raises(hrm_kernels.UnsupportedError, match=reason):
            choose(dataclasses.replace(HRM, **change), "mps", "mps")


def test_without_the_plugin_it_says_what_to_install():
    assert "pip install -e '.[metal]'" in str(path("mps").refuses(HRM))
    x = jnp.zeros((1, 2, 1, 16))
    with pytest.raises(hrm_kernels.UnsupportedError, match="needs the plugin jax-mps"):
        hrm_kernels.attention(x, x, x, backend="mps")


def test_a_mac_takes_it_only_if_asked(plugin):
    shape = jax.ShapeDtypeStruct((2, 82, 8, 32), "float32")
    found = hrm_kernels.explain(shape, shape, shape, device=MAC)
    assert found.path == "xla_short"
    assert found.not_chosen == {
        "mps": "has run on no device yet; ask for it with backend='mps'",
    }
    assert hrm_kernels.explain(shape, shape, shape, device=MAC, backend="mps").path == "mps"
    with_lse = hrm_kernels.explain(shape, shape, shape, device=MAC, return_lse=True)
    assert "no log-sum-exp" in with_lse.not_chosen["mps"]
    assert hrm_kernels.explain(shape, shape, shape, device=Device("cpu")).not_chosen == {}


@pytest.mark.parametrize("mask", ["full", "lengths", "packed_prefix"])
def test_values_and_gradients_are_those_of_the_entry_point(mask, plugin):
    # Of three rows with lengths, one is empty: its queries see nothing.
    case = cases.Case(21, S=30, N=4, M=2, K=16, mask=mask, B=3)
    data = cases.example(case)
    pairs = reference.allowed(data.mask, case.B, case.T, case.keys)
    # What no query sees, and queries that see nothing, may be NaN.
    hidden = ~pairs.any(1)[:, :, None, None]
    dead = ~pairs.any(2)[:, :, None, None]
    assert dead.any() == (mask == "lengths")
    assert hidden.any() == (mask != "full")
    query = jnp.where(dead, jnp.nan, data.query)
    key, value = (jnp.where(hidden, jnp.nan, x) for x in (data.key, data.value))

    @jax.jit
    def run(query, key, value, d_out):
        def attend(*operands):
            return hrm_kernels.attention(*operands, mask=data.mask, backend="mps")

        out, pullback = jax.vjp(attend, query, key, value)
        return out, *pullback(d_out)

    found = run(query, key, value, data.cotangents[0])
    exact = reference.attention(*data.operands, mask=data.mask).out
    gradients = reference.gradients(*data.operands, data.cotangents[0], mask=data.mask)
    for ours, theirs in zip(found, (exact, *gradients), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5)
    (call,) = plugin
    assert call["q"] == (3, 4, 21, 16)
    assert call["k"] == call["v"] == (3, 2, 30, 16)
    assert call["scale"] == 0.25
    assert (call["mask"] is None) == (mask == "full")
    if call["mask"] is not None:
        assert call["mask"].shape == (3, 1, 21, 30)
