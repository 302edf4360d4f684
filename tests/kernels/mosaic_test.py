"""The Mosaic kernels of Hopper: interpreted against float64, races, and what they refuse."""

import contextlib
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import jax
import pytest

import hrm_kernels
from hrm_kernels import cases, mosaic_blocks, quantized, quantized_cases
from hrm_kernels.choice import FAMILIES, path
from hrm_kernels.device import Device
from hrm_kernels.operands import Case
from tests.kernels import mosaic_cases

interpreted = pytest.mark.skipif(
    mosaic_blocks.plgpu is None, reason="Mosaic GPU's interpreter comes with jax 0.11"
)
HRM = Case(T=82, S=82, N=8, M=8, K=32, dtype="bfloat16", generation="hopper")
LONG = dataclasses.replace(HRM, T=4096, S=4096, K=128)
SHAPE = jax.ShapeDtypeStruct((2, 82, 8, 32), "bfloat16")


@contextlib.contextmanager
def asking() -> Iterator[Callable[[str], dict[str, str]]]:
    """Yields what is wrong with a job of `mosaic_cases`, by a process with threads enough."""
    folders = os.pathsep.join(part for part in sys.path if part)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.kernels.mosaic_cases", "-"],
        env=os.environ | {"NPROC": "16", "PYTHONPATH": folders},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(name: str) -> dict[str, str]:
            print(name, file=process.stdin, flush=True)
            # In between, jax 0.11 prints races that it finds.
            found = json.loads(next(line for line in process.stdout if line.startswith("{")))
            assert found["name"] == name
            return found["wrong"]

        yield ask
        process.stdin.close()
        process.wait(60)


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[[str], dict[str, str]]]:
    with asking() as ask:
        yield ask


@interpreted
@pytest.mark.parametrize("name", [mosaic_cases.name_of(job) for job in mosaic_cases.JOBS])
def test_is_as_near_to_float64_as_xla_without_races_or_leaks(name, ask):
    assert ask(name) == {}


@interpreted
@pytest.mark.parametrize("name", [mosaic_cases.name_of(job) for job in mosaic_cases.TABLE[::16]])
def test_one_in_sixteen_of_the_table_is_as_near_to_float64_as_xla(name, ask):
    """`python -m tests.kernels.mosaic_cases` takes all of it."""
    assert ask(name) == {}


@interpreted
@pytest.mark.parametrize("name", [mosaic_cases.name_of(job) for job in mosaic_cases.RACING])
def test_a_race_is_found_where_warpgroups_do_not_wait(name):
    with asking() as ask:
        assert ask(name) == {}


@interpreted
def test_the_table_has_all_masks_and_most_sizes_for_both_kernels():
    for name in FAMILIES["mosaic"]:
        found = [case for _, case, backend in mosaic_cases.TABLE if backend == name]
        assert {case.mask for case in found} == set(cases.MASKS)
        assert {case.K for case in found} == set(mosaic_blocks.HEAD_SIZES)
        assert len(found) >= 40


def test_old_jax_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(mosaic_blocks, "plgpu", None)
    found = hrm_kernels.explain(SHAPE, SHAPE, SHAPE, backend="mosaic", device=Device("gpu", (9, 0)))
    assert found.path is None
    assert all("needs jax 0.11" in reason for reason in found.refusals.values())
    x = jax.numpy.zeros(SHAPE.shape, SHAPE.dtype)
    with pytest.raises(hrm_kernels.UnsupportedError, match=r"needs jax 0\.11 or newer"):
        hrm_kernels.attention(x, x, x, backend="mosaic")
    matrix = quantized_cases.example(quantized_cases.FORMS["Q4_0"], 128, 128).matrix
    rows = jax.numpy.zeros((1, 128), "bfloat16")
    with pytest.raises(hrm_kernels.UnsupportedError, match=r"product: needs jax 0\.11 or newer"):
        hrm_kernels.quantized_product(rows, matrix, backend="mosaic")


@interpreted
@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("mosaic_resident", {"T": 129}, "up to 128"),
        *(
            (name, change, reason)
            for name in FAMILIES["mosaic"]
            for change, reason in (
                ({"generation": "ampere"}, "Hopper's, the card is of ampere"),
                ({"generation": "blackwell"}, "Hopper's, the card is of blackwell"),
                ({"dtype": "float32"}, "16-bit operands alone, got float32"),
                ({"K": 48}, r"heads of \(32, 64, 128\), got 48"),
            )
        ),
    ],
)
def test_what_it_cannot_serve_is_refused(name, change, reason):
    refuse = path(name).refuses
    served = HRM if name == "mosaic_resident" else LONG
    assert refuse(served) is None
    assert refuse(dataclasses.replace(served, generation=None)) is None
    refusal = refuse(dataclasses.replace(served, **change))
    assert refusal is not None
    assert re.search(reason, refusal)


@interpreted
@pytest.mark.parametrize(
    ("dtype", "generation", "reason"),
    [
        ("bfloat16", None, None),
        ("float16", "hopper", None),
        ("float32", "hopper", "16-bit operands alone, got float32; use backend='gpu'"),
        ("bfloat16", "ada", "Hopper's, the card is of ada"),
        ("bfloat16", "blackwell", "Hopper's, the card is of blackwell"),
    ],
)
def test_which_quantised_products_are_refused(dtype, generation, reason, monkeypatch):
    cards = {"hopper": (9, 0), "ada": (8, 9), "blackwell": (10, 0)}
    device = Device("gpu", cards[generation]) if generation else Device("cpu")
    monkeypatch.setattr(quantized, "device_of", lambda: device)
    matrix = quantized_cases.shapes(quantized_cases.FORMS["Q4_0"], 128, 128)
    product = functools.partial(hrm_kernels.quantized_product, backend="mosaic", interpret=True)
    x = jax.ShapeDtypeStruct((1, 128), dtype)
    if reason is None:
        assert jax.eval_shape(product, x, matrix).shape == (1, 128)
    else:
        with pytest.raises(hrm_kernels.UnsupportedError, match=reason):
            jax.eval_shape(product, x, matrix)


@pytest.mark.parametrize(
    ("device", "dtype", "mosaic", "cudnn"),
    [
        pytest.param((9, 0), "bfloat16", "has run on no device", "two runs", marks=interpreted),
        pytest.param((9, 0), "float32", "16-bit operands alone", "16 bits", marks=interpreted),
        pytest.param((8, 0), "bfloat16", "the card is of ampere", "two runs", marks=interpreted),
        pytest.param((10, 0), "float16", "the card is of blackwell", "two", marks=interpreted),
    ],
)
def test_no_device_takes_it_by_itself_and_why_is_told(device, dtype, mosaic, cudnn):
    """It has run on none yet: only who asks for it gets it."""
    shape = jax.ShapeDtypeStruct(SHAPE.shape, dtype)
    found = hrm_kernels.explain(shape, shape, shape, device=Device("gpu", device))
    # Tests ask for exact products of float32, which are left to XLA.
    assert found.path == ("xla_blocked" if dtype == "float32" else "gpu_resident")
    assert set(found.not_chosen) == {*FAMILIES["mosaic"], "cudnn"}
    for name in FAMILIES["mosaic"]:
        assert mosaic in found.not_chosen[name]
    assert cudnn in found.not_chosen["cudnn"]
    assert all(reason in str(found) for reason in found.not_chosen.values())
    for other in (
        hrm_kernels.explain(shape, shape, shape, device=Device("cpu")),
        hrm_kernels.explain(shape, shape, shape, device=Device("gpu", device), backend="gpu"),
    ):
        assert other.not_chosen == {}
