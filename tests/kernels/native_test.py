"""Where the kernels in C++ cannot be built, it is said, and XLA serves; what others compute."""

import pathlib
import platform
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_kernels import native

CROSS_COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64"


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


@pytest.mark.aot
@pytest.mark.skipif(
    platform.machine() != "x86_64" or not all(map(shutil.which, (CROSS_COMPILER, EMULATOR, "g++"))),
    reason=f"needs g++, {CROSS_COMPILER} and {EMULATOR} on x86-64",
)
def test_arm_gives_the_bits_of_code_without_special_instructions(tmp_path):
    plain = run_machines(tmp_path / "plain", ["g++", "-march=x86-64"], [])
    arm = [CROSS_COMPILER, "-march=armv8.2-a+dotprod"]
    got = run_machines(tmp_path / "arm", arm, [EMULATOR])
    assert len(plain) > 40_000
    np.testing.assert_array_equal(got, plain)


def run_machines(program, compiler, emulator):
    """Returns what `machines.cc` computes, built by a compiler's command."""
    folders = [
        "-isystem",
        jax.ffi.include_dir(),
        "-I",
        pathlib.Path(native.__file__).parent / "native",
    ]
    options = ["-std=c++17", "-O2", "-ffp-contract=off", "-w", "-static", *folders]
    source = pathlib.Path(__file__).with_name("machines.cc")
    subprocess.run([*compiler, *options, source, "-o", program], check=True, timeout=300)
    done = subprocess.run([*emulator, program], check=True, capture_output=True, timeout=100)
    return np.frombuffer(done.stdout, np.float32)
