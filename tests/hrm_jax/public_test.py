"""What `hrm_jax` itself exports."""

import subprocess
import sys

import pytest

import hrm_jax

HEAVY = [
    "jax",
    "flax",
    "optax",
    "orbax",
    "grain",
    "numpy",
    "tensorflow_datasets",
    "absl",
    "matplotlib",
    "numba",
]


def test_importing_the_package_loads_nothing():
    program = "import sys, hrm_jax; print(*(set(sys.modules) & set(sys.argv[1:])))"
    command = [sys.executable, "-c", program, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", hrm_jax.__all__)
def test_every_name_is_the_one_of_its_module(name):
    value = getattr(hrm_jax, name)
    assert value.__name__ == name
    assert value.__module__ == f"hrm_jax.{hrm_jax._MODULES[name]}"


def test_the_lists_of_names_agree():
    assert sorted(hrm_jax._MODULES) == sorted(hrm_jax.__all__) == sorted(dir(hrm_jax))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'hrm_jax' has no attribute 'Reasoner'"):
        hrm_jax.Reasoner  # noqa: B018
