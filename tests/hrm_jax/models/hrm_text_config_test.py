"""Sizes of HRM-Text, and configs that cannot be."""

import dataclasses

import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.models.hrm_text import SIZES, HrmTextConfig, hrm_text
from hrm_jax.models.recurrence import Schedule


@pytest.mark.parametrize(
    ("size", "layers", "D", "N", "F"),
    [("B", 12, 1024, 8, 2816), ("L", 24, 1280, 10, 3584), ("XL", 32, 1536, 12, 4096)],
)
def test_published_sizes(size, layers, D, N, F):
    config = hrm_text(size)
    assert (2 * config.layers_per_stack, config.hidden_size) == (layers, D)
    assert (config.num_heads, config.head_size, config.mlp_width) == (N, 128, F)
    assert (config.vocab_size, config.max_length) == (65536, 4096)
    assert (config.H_cycles, config.L_cycles, config.schedule.num_calls) == (2, 3, 8)
    assert config.schedule == Schedule(2, 3, (1, 2))
    assert config.input_scale == pytest.approx(D**0.5)


def test_the_defaults_are_size_B():
    assert hrm_text("B") == HrmTextConfig()


@pytest.mark.parametrize("size", SIZES)
def test_fields_of_a_size_can_be_changed(size):
    config = hrm_text(size, vocab_size=99)
    assert dataclasses.replace(config, vocab_size=hrm_text(size).vocab_size) == hrm_text(size)


def test_small_sizes_grow_in_order():
    nano, micro, base = (hrm_text(size) for size in ("nano", "micro", "B"))
    assert nano.hidden_size < micro.hidden_size < base.hidden_size
    assert nano.head_size == micro.head_size == 64


def test_embedding_scale_given_or_not():
    assert hrm_text("nano", initializer_range=0.02).input_scale == pytest.approx(50)
    assert hrm_text("nano", embedding_scale=3.0).input_scale == 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vocab_size", 0, "a positive number, got 0"),
        ("layers_per_stack", 0, "a positive number, got 0"),
        ("rope_theta", -1.0, "a positive number"),
        ("initializer_range", -0.1, "a positive number"),
        ("embedding_scale", -2.0, "a positive number"),
        ("compute_dtype", "int8", "one of"),
        ("attention_backend", "cuda", "one of"),
        ("head_size", 63, "an even number"),
        ("num_heads", 7, "a divisor of hidden_size=1024"),
        ("L_bp_cycles", (2, -1), "numbers of calls, 0 or more"),
        ("pad_token", 65536, "a token, 0 to vocab_size - 1 = 65535, got 65536"),
        ("bos_token", -1, "a token"),
    ],
)
def test_a_field_that_cannot_be_is_named(field, value, message):
    with pytest.raises(ConfigError, match=f"{field}: expected {message}"):
        hrm_text("B", **{field: value})


def test_an_end_token_beyond_the_vocabulary_is_named():
    with pytest.raises(ConfigError, match=r"eos_tokens\[1\]: expected a token"):
        hrm_text("B", eos_tokens=(1, 70000))


def test_an_unknown_size_is_refused():
    with pytest.raises(ConfigError, match=r"size: expected one of .*'nano'.*got 'S'"):
        hrm_text("S")
