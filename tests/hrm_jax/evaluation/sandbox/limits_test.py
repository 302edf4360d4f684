"""Limits: what is refused, and what the kernel is told."""

import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.evaluation.sandbox.limits import Limits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cpu_seconds", "1 or more, got 0"),
        ("wall_seconds", r"more than 0, got 0\.0"),
        ("memory_bytes", "1 or more, got 0"),
        ("output_bytes", "1 or more, got 0"),
    ],
)
def test_there_is_no_running_without(name, expected):
    with pytest.raises(ConfigError, match=f"{name}: expected {expected}; nothing runs without it"):
        Limits(**{name: 0})


def test_the_kernel_is_told():
    options = Limits(cpu_seconds=2, memory_bytes=7, processes=3).prlimit()
    assert {"--cpu=2:3", "--data=7", "--as=7", "--nproc=3", "--core=0"} <= set(options)


def test_address_space_may_be_free():
    options = Limits(memory_bytes=7, address_space=False).prlimit()
    assert "--data=7" in options
    assert not [option for option in options if option.startswith("--as")]
