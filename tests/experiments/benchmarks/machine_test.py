"""What the benchmarks say about the machine."""

import pytest

from experiments.benchmarks import alternate, machine


@pytest.mark.parametrize("library", ["numpy", "jax", "torch"])
def test_matmul_peak_is_of_a_plausible_size(library):
    pytest.importorskip(library)
    assert 1e7 < machine.matmul_peak(library, sizes=(64, 128), repeats=3) < 1e16


def test_the_description_covers_the_installed_libraries(monkeypatch):
    monkeypatch.setattr(alternate, "importable", lambda library, python: library == "numpy")
    host = machine.describe()
    assert list(host.matmul_flops) == ["numpy"]
    assert host.peak_flops == host.matmul_flops["numpy"] > 0
    assert host.cpu
    assert host.cores >= 1
    assert host.ram_bytes > 2**28
