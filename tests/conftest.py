"""Settings and options for all tests."""

import pathlib

import jax
import pytest

from experiments.benchmarks import aot_targets

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_configure(config):
    """Before any test module makes an array, where compilers for other machines are tested."""
    if config.option.markexpr == "aot":
        aot_targets.settle_process()


def pytest_addoption(parser):
    parser.addoption(
        "--golden", default=None, metavar="DIR", help="further recordings of the originals to check"
    )


def pytest_generate_tests(metafunc):
    """Gives `recording_path` every recording in tests/golden and in --golden=DIR."""
    if "recording_path" not in metafunc.fixturenames:
        return
    folders = [GOLDEN]
    if extra := metafunc.config.getoption("--golden"):
        folders.append(pathlib.Path(extra))
    paths = [path for folder in folders for path in sorted(folder.glob("*.npz"))]
    paths = [path for path in paths if path.name.startswith(("hrm_", "trm_"))]
    if extra and not any(path.parent == folders[-1] for path in paths):
        raise pytest.UsageError(f"--golden={extra}: no hrm_*.npz or trm_*.npz there")
    metafunc.parametrize(
        "recording_path", paths, ids=[f"{p.parent.name}/{p.stem}" for p in paths], scope="module"
    )
