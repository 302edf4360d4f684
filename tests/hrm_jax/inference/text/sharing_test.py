"""A model that eight simulated devices share writes what it writes on one."""

import dataclasses

import jax
import numpy as np
import pytest

from hrm_jax.convert.holding import quantised_weights
from hrm_jax.core.config import ConfigError
from hrm_jax.inference.text.sharing import share
from hrm_jax.models.llama import Llama
from tests import commands
from tests.hrm_jax.convert.language_test import LLAMA

WRITE = """
import dataclasses, sys
import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.config import ConfigError
from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.sharing import share
from hrm_jax.inference.text.writing import Writer
from hrm_jax.models.llama import Llama
from tests.hrm_jax.convert.language_test import LLAMA
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

assert jax.device_count() == 8
config = dataclasses.replace(LLAMA, num_heads=8, num_key_heads=8, hidden_size=64, mlp_width=128)
model = Llama(config)
# Large weights: with fresh ones, a text is one token again and again.
variables = jax.tree.map(lambda leaf: 3 * leaf, model.init(jax.random.key(0)))
shared, shares = share(model, variables, 8)
assert shared.config == config
try:
    share(model, variables, 3)
except ConfigError as error:
    told = "model_devices: 3 devices cannot share this model (attention under a mesh: expected the"
    assert str(error).startswith(f"{told} number of key heads, 8, to be a multiple"), error
else:
    raise AssertionError("8 heads over 3 devices are refused")

tokens = jnp.arange(24)[None]
expected = model.logits(variables, tokens)
np.testing.assert_allclose(jax.jit(shared.logits)(shares, tokens), expected, rtol=1e-4, atol=1e-4)

split = [leaf for leaf in jax.tree.leaves(shares.params) if "model" in leaf.sharding.spec]
held = sum(leaf.addressable_shards[0].data.nbytes for leaf in split)
assert len(split) == 4 * config.num_layers, len(split)
assert 8 * held == sum(leaf.nbytes for leaf in split)
cache = jax.jit(shared.empty_cache, static_argnums=(0, 1))(2, 64)
assert "model" in jax.tree.leaves(cache.calls)[0].sharding.spec

requests = [Request(Prompt(text), max_tokens=24) for text in ("abc" * 9, "x", "def f():")]


def texts(model, variables):
    writer = Writer(model, variables, ByteTokenizer(), max_length=128, batch_size=2)
    found = [""] * len(requests)
    for piece in writer.write(requests):
        found[piece.request] += piece.text
    return found


found = texts(shared, shares)
assert len(set("".join(found))) > 8, found
assert found == texts(model, variables), found
"""


@pytest.mark.thorough
def test_eight_devices_write_what_one_does():
    done = commands.run("-c", WRITE, devices=8)
    assert done.returncode == 0, done.stderr


def test_more_devices_than_there_are_are_refused():
    model = Llama(LLAMA)
    with pytest.raises(ConfigError, match=r"model_devices: expected at most \d+, .*got 99"):
        share(model, model.init(jax.random.key(0)), 99)


def test_quantised_weights_are_refused():
    model = Llama(LLAMA)
    matrix = quantised_weights(np.ones((32, 32), np.float32), "int8", is_table=False)
    weights = dataclasses.replace(model.init(jax.random.key(0)), params=matrix)
    told = "model_devices: expected floating-point weights, got 'quantised ones'; load"
    with pytest.raises(ConfigError, match=told):
        share(model, weights, 1)
