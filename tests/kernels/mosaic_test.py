"""The Mosaic kernels of Hopper: interpreted against float64, races, and what they refuse."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import jax
import pytest

import hrm_kernels
from hrm_kernels import mosaic_blocks
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


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str]]:
    """What is wrong with each job of `mosaic_cases`, which a process with threads enough runs."""
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.mosaic_cases"],
        env=os.environ | {"NPROC": "16", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line["name"]: line["wrong"] for line in map(json.loads, done.stdout.splitlines())}


@interpreted
@pytest.mark.parametrize("name", [mosaic_cases.name_of(job) for job in mosaic_cases.JOBS])
def test_is_as_near_to_float64_as_xla_without_races_or_leaks(name, found):
    assert found[name] == {}


def test_old_jax_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(mosaic_blocks, "plgpu", None)
    found = hrm_kernels.explain(SHAPE, SHAPE, SHAPE, backend="mosaic", device=Device("gpu", (9, 0)))
    assert found.path is None
    assert all("needs jax 0.11" in reason for reason in found.refusals.values())
    x = jax.numpy.zeros(SHAPE.shape, SHAPE.dtype)
    with pytest.raises(hrm_kernels.UnsupportedError, match=r"needs jax 0\.11 or newer"):
        hrm_kernels.attention(x, x, x, backend="mosaic")


@interpreted
@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("mosaic_resident", {"T": 129}, "up to 128"),
        ("mosaic_tiled", {"S": 4097}, "tiles of 8, got 4097"),
        ("mosaic_tiled", {"T": 1}, "1 queries fill none"),
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


def test_no_device_takes_it_by_itself():
    """It has run on none yet: only who asks for it gets it."""
    found = hrm_kernels.explain(SHAPE, SHAPE, SHAPE, device=Device("gpu", (9, 0)))
    assert found.path == "gpu_resident"
    assert "mosaic" in FAMILIES
