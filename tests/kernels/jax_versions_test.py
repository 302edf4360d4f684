"""Pallas' Triton backend is deprecated since jax 0.11: users of ours hear nothing of it."""

import inspect
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

import hrm_kernels
from hrm_kernels import jax_versions

DEVICE = {"device_kind": "NVIDIA H100 80GB HBM3", "num_cores": None}
if "platform" in inspect.signature(AbstractDevice).parameters:  # not in jax 0.10.0
    DEVICE["platform"] = "cuda"


def lowered_for_h100(backend: str) -> str:
    """Attention and its gradient, lowered by Triton for a device that is not here."""

    def loss(x):
        return hrm_kernels.attention(x, x, x, backend=backend).sum()

    mesh = AbstractMesh((), (), abstract_device=AbstractDevice(**DEVICE))
    with jax.sharding.use_abstract_mesh(mesh):
        traced = jax.jit(jax.grad(loss)).trace(jax.ShapeDtypeStruct((1, 82, 2, 32), jnp.float32))
        return traced.lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("backend", ["gpu_resident", "gpu_tiled"])
def test_lowering_warns_of_nothing(backend):
    assert "triton" in lowered_for_h100(backend)


def test_lowering_warns_of_nothing_where_warnings_are_errors():
    code = "from tests.kernels.jax_versions_test import *; lowered_for_h100('gpu_tiled')"
    path = [part for part in sys.path if part]
    program = f"import sys; sys.path[:] = {path!r}; {code}"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_other_deprecations_are_heard():
    with warnings.catch_warnings():
        jax_versions.ignore_triton_deprecation()
        with pytest.raises(DeprecationWarning, match="is deprecated"):
            warnings.warn("jax.numpy.fix is deprecated", DeprecationWarning, stacklevel=1)
        warnings.warn("The Pallas Triton backend is deprecated and", DeprecationWarning, 1)
