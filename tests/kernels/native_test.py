"""Where the kernels in C++ cannot be built, it is said, and XLA serves."""

import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import native


@pytest.fixture(autouse=True)
def forgotten():
    """What was found out in other tests does not count here."""
    native.refuses.cache_clear()
    yield
    native.refuses.cache_clear()


def assert_xla_serves(reason):
    matrix = hrm_kernels.quantize(np.eye(32, dtype=np.float32), 8)
    assert reason in (hrm_kernels.refuses_quantized() or "")
    with pytest.raises(hrm_kernels.UnsupportedError, match=reason):
        hrm_kernels.quantized_product(jnp.ones((1, 32)), matrix, backend="cpu")
    got = hrm_kernels.quantized_product(jnp.ones((1, 32)), matrix)
    np.testing.assert_allclose(got, np.ones((1, 32)), rtol=1e-3)


def test_without_a_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    assert_xla_serves("there is no C")


def test_switched_off(monkeypatch):
    monkeypatch.setenv(native.SWITCH, "0")
    assert_xla_serves(f"{native.SWITCH}=0")


def test_a_compiler_that_fails(monkeypatch, tmp_path):
    compiler = tmp_path / "compiler"
    compiler.write_text("#!/bin/sh\necho 'no such standard' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv(native.CACHE, str(tmp_path / "cache"))
    assert_xla_serves("no such standard")
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CXX", "c++")
    monkeypatch.setenv(native.CACHE, str(tmp_path / "file" / "cache"))
    assert_xla_serves("could not be built")
