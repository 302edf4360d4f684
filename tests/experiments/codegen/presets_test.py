"""Presets: what they promise of each other."""

import pathlib

import pytest

from experiments.codegen.presets import PRESETS
from hrm_jax.core.config import from_json, to_json
from hrm_jax.tasks.code.config import CodeConfig
from hrm_jax.tasks.code.task import CodeTask


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_comes_back_from_json(name):
    assert from_json(CodeConfig, to_json(PRESETS[name])) == PRESETS[name]


def test_the_plain_transformer_trains_with_as_many_flop_as_nano():
    nano = PRESETS["nano"]
    plain = PRESETS["transformer_nano"]
    flops = [CodeTask(config, pathlib.Path()).flops_per_token() for config in (nano, plain)]
    assert flops[1] == pytest.approx(flops[0], rel=0.01)
    for name in ("batch_tokens", "loop", "data", "phases", "optim", "validation", "test"):
        assert getattr(nano, name) == getattr(plain, name)
