"""Keys of GGUF files: what is refused by name, and what changes nothing."""

import pytest

from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.convert.gguf_keys import _APPLIED, _FACTORS, _HARMLESS
from hrm_jax.convert.gguf_llama import config_of
from hrm_jax.core.config import ConfigError
from tests.hrm_jax.convert.gguf_files import write_gguf
from tests.hrm_jax.convert.gguf_llama_test import CONFIG, random_weights

gguf = pytest.importorskip("gguf")


def read(path, metadata):
    write_gguf(path, CONFIG, random_weights(CONFIG), metadata=metadata)
    return config_of(GgufFile(path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attention.causal", False),
        ("attention.scale", 0.5),
        ("attention.clamp_kqv", 8.0),
        ("attention.max_alibi_bias", 8.0),
        ("attention.value_length", 4),
        ("attention.sliding_window_pattern", 6),
        ("attn_logit_softcapping", 50.0),
        ("final_logit_softcapping", 30.0),
        ("expert_count", 8),
        ("logit_scale", 0.0625),
        ("residual_scale", 0.22),
        ("embedding_scale", 12.0),
        ("rope.scaling.attn_factor", 1.19),
        ("rope.freq_base_swa", 1e4),
        ("use_parallel_residual", True),
        ("a_key_of_tomorrow", 3),
        ("activation_of_tomorrow", "gelu"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(tmp_path, name, value):
    with pytest.raises(ConfigError, match=rf"^llama\.{name}: expected .*got .*; no other is"):
        read(tmp_path / "model.gguf", {f"llama.{name}": value})


def test_a_number_of_heads_that_no_model_has_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"attention\.head_count: expected a number of heads"):
        read(tmp_path / "model.gguf", {"llama.attention.head_count": 0})


def test_what_switches_nothing_on_is_read(tmp_path):
    plain = read(tmp_path / "a.gguf", {})
    metadata = {
        "llama.attention.causal": True,
        "llama.attention.scale": CONFIG.head_size**-0.5,
        "llama.attention.value_length": CONFIG.head_size,
        "llama.expert_count": 0,
        "llama.logit_scale": 1.0,
        "llama.rope.scaling.attn_factor": 1.0,
        "llama.vocab_size": 64,
        "llama.rope.scaling.finetuned": True,
        "llama.tensor_data_layout": "Meta AI original pth",
        "general.sampling.temp": 0.3,
    }
    assert read(tmp_path / "b.gguf", metadata) == plain


def test_every_key_that_is_told_apart_is_one_of_the_format():
    """But for `rope.scale_linear`, which the format had once."""
    groups = (gguf.Keys.LLM, gguf.Keys.Attention, gguf.Keys.Rope)
    texts = [value for group in groups for value in vars(group).values() if isinstance(value, str)]
    known = {text.removeprefix("{arch}.") for text in texts if text.startswith("{arch}.")}
    assert (_APPLIED | _HARMLESS | _FACTORS) - known <= {"rope.scale_linear"}
