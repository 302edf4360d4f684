"""GGUF files of Llama's family: every way of storing, every field, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

pytest.importorskip("gguf", reason="needs the extra foundation")

from gguf import GGMLQuantizationType as Kind
from gguf import quants

from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.convert.gguf_llama import config_of, load_gguf_llama
from hrm_jax.convert.llama import llama_variables, llama_weights
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.models.llama import Llama, LlamaConfig
from hrm_jax.nn.rope import RopeScaling, rope_frequencies
from tests.hrm_jax.convert.gguf_files import TOKENS, pairs_together, write_gguf

CONFIG = LlamaConfig(
    vocab_size=len(TOKENS),
    hidden_size=32,
    num_layers=2,
    num_heads=4,
    num_key_heads=2,
    head_size=8,
    mlp_width=64,
    rms_norm_eps=2.0**-17,
    rope_theta=500.0,
    bos_token=1,
    eos_tokens=(0,),
)
VARIANTS = {
    "llama": ("llama", {}),
    "llama_biased_untied": (
        "llama",
        {"qkv_bias": True, "out_bias": True, "mlp_bias": True, "tie_embeddings": False},
    ),
    "qwen2": ("qwen2", {"qkv_bias": True}),
    "qwen3": ("qwen3", {"qk_norm": True, "head_size": 16}),
}


def random_weights(config: LlamaConfig) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(Llama(config).init, jax.random.key(0))
    variables = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), shapes)
    return llama_weights(config, variables)


def assert_equal(found, expected) -> None:
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_config_and_values_are_read_as_they_were(tmp_path, variant):
    architecture, fields = VARIANTS[variant]
    config = dataclasses.replace(CONFIG, **fields)
    weights = random_weights(config)
    write_gguf(tmp_path / "model.gguf", config, weights, architecture=architecture)
    model, variables = load_gguf_llama(GgufFile(tmp_path / "model.gguf"))
    assert model.config == config
    assert_equal(variables, llama_variables(Llama(config), weights))


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1"])
def test_narrow_matrices_are_widened_to_what_they_stand_for(tmp_path, kind):
    weights = random_weights(CONFIG)
    path = tmp_path / "model.gguf"
    write_gguf(path, CONFIG, weights, kind=Kind[kind])
    file = GgufFile(path)
    _, variables = load_gguf_llama(file)
    widened = {
        name: quants.dequantize(quants.quantize(array, Kind[kind]), Kind[kind])
        if array.ndim == 2
        else array
        for name, array in weights.items()
    }
    # Rows are stored one by one, so that their order changes nothing in them.
    assert_equal(variables, llama_variables(Llama(CONFIG), widened))
    name = "model.layers.0.mlp.up_proj.weight"
    error = np.abs(widened[name] - weights[name]).max()
    assert 0 < error < 0.5
    assert {array.dtype.name for array in file.tensors.values()} == {"float32"}


def test_q6_k_against_its_definition(tmp_path):
    """256 weights: four low bits, two high ones, a scale for each 16, and one for all."""
    config = dataclasses.replace(CONFIG, mlp_width=256)
    rng = np.random.default_rng(1)
    low = rng.integers(0, 16, (32, 256))
    high = rng.integers(0, 4, (32, 256))
    scales = rng.integers(-128, 128, (32, 16))
    factor = np.float16(0.01)
    expected = float(factor) * np.repeat(scales, 16, axis=1) * (low + 16 * high - 32)
    nibbles = low.reshape(32, 2, 2, 64)  # of each half, its second half in the upper four bits
    pairs = high.reshape(32, 2, 4, 32)
    block = np.concatenate(
        [
            (nibbles[:, :, 0] | nibbles[:, :, 1] << 4).reshape(32, 128).astype(np.uint8),
            sum(pairs[:, :, i] << 2 * i for i in range(4)).reshape(32, 64).astype(np.uint8),
            scales.astype(np.int8).view(np.uint8),
            np.full((32, 1), factor).view(np.uint8),
        ],
        axis=1,
    )
    path = tmp_path / "model.gguf"
    name = "blk.1.ffn_down.weight"
    write_gguf(path, config, random_weights(config), tensors={name: (block, Kind.Q6_K)})
    file = GgufFile(path)
    np.testing.assert_allclose(np.asarray(file.tensors[name]), expected, rtol=1e-6)
    load_gguf_llama(file)


def test_weights_can_be_held_in_bfloat16(tmp_path):
    write_gguf(tmp_path / "model.gguf", CONFIG, random_weights(CONFIG), kind=Kind.BF16)
    wide, narrow = (
        load_gguf_llama(GgufFile(tmp_path / "model.gguf"), dtype)[1]
        for dtype in ("float32", "bfloat16")
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(narrow)} == {"bfloat16"}
    assert_equal(narrow, jax.tree.map(lambda leaf: leaf.astype("bfloat16"), wide))


def test_heads_are_put_back_in_order():
    rows = np.arange(12).reshape(12, 1)  # two heads of six
    assert pairs_together(rows, 2).ravel().tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]


@pytest.mark.parametrize(
    ("metadata", "field", "value"),
    [
        ({"llama.rope.scaling.type": "none"}, "rope_scaling", RopeScaling()),
        (
            {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
            "rope_scaling",
            RopeScaling("linear", 4.0),
        ),
        ({"llama.rope.scale_linear": 4.0}, "rope_scaling", RopeScaling("linear", 4.0)),
        ({"llama.rope.scaling.factor": 4.0}, "rope_scaling", RopeScaling("linear", 4.0)),
        ({"llama.rope.scaling.factor": 1.0}, "rope_scaling", RopeScaling()),
        (
            {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0},
            "rope_scaling",
            RopeScaling(),
        ),
        ({"llama.attention.sliding_window": 7}, "window", 7),
        ({"llama.rope.freq_base": None}, "rope_theta", 1e4),
        ({"tokenizer.ggml.bos_token_id": None}, "bos_token", None),
    ],
)
def test_metadata(tmp_path, metadata, field, value):
    path = tmp_path / "model.gguf"
    write_gguf(path, CONFIG, random_weights(CONFIG), metadata=metadata)
    assert getattr(config_of(GgufFile(path)), field) == value


def test_divisors_of_llama_3_are_known_again_and_others_refused(tmp_path):
    scaling = RopeScaling("llama3", 32.0)
    path = tmp_path / "model.gguf"
    config = dataclasses.replace(CONFIG, rope_theta=5e5)
    divisors = scaling.divisors(rope_frequencies(config.head_size, config.rope_theta))
    weights = random_weights(config)
    write_gguf(path, config, weights, tensors={"rope_freqs.weight": (divisors, Kind.F32)})
    model, _ = load_gguf_llama(GgufFile(path))
    assert model.config.rope_scaling == scaling
    others = np.linspace(1, 9, len(divisors), dtype=np.float32)
    write_gguf(path, config, weights, tensors={"rope_freqs.weight": (others, Kind.F32)})
    with pytest.raises(ConfigError, match=r"rope_freqs\.weight: expected the divisors of Llama"):
        load_gguf_llama(GgufFile(path))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"llama.rope.scaling.type": "yarn"}, r"rope\.scaling\.type: expected 'none' or 'linear'"),
        ({"llama.rope.dimension_count": 4}, r"rope\.dimension_count: expected the head size 8"),
        ({"llama.block_count": None}, r"llama\.block_count: expected a value, got nothing in .*"),
    ],
)
def test_what_is_not_implemented_or_absent_is_named(tmp_path, metadata, message):
    path = tmp_path / "model.gguf"
    write_gguf(path, CONFIG, random_weights(CONFIG), metadata=metadata)
    with pytest.raises(ConfigError, match=message):
        load_gguf_llama(GgufFile(path))


def test_another_architecture_and_unknown_tensors_are_named(tmp_path):
    path = tmp_path / "model.gguf"
    weights = random_weights(CONFIG)
    write_gguf(path, CONFIG, weights, architecture="gemma3")
    with pytest.raises(ConfigError, match=r"general\.architecture: .*got 'gemma3'"):
        load_gguf_llama(GgufFile(path))
    gate = {"blk.0.ffn_gate_inp.weight": (np.zeros((2, 32), np.float32), Kind.F32)}
    write_gguf(path, CONFIG, weights, tensors=gate)
    with pytest.raises(WeightsError, match=r"blk\.0\.ffn_gate_inp\.weight: a tensor that no"):
        load_gguf_llama(GgufFile(path))


def test_a_file_of_the_vocabulary_alone_is_named(tmp_path):
    write_gguf(tmp_path / "vocab.gguf", CONFIG, {})
    with pytest.raises(WeightsError, match=r"found 0 tensors .*vocabulary alone has no weights"):
        load_gguf_llama(GgufFile(tmp_path / "vocab.gguf"))


def test_a_type_that_cannot_be_widened_is_named(tmp_path):
    path = tmp_path / "model.gguf"
    counts = np.zeros((64, 32), np.int32)
    tensors = {"blk.1.ffn_up.weight": (counts, Kind.I32)}
    write_gguf(path, CONFIG, random_weights(CONFIG), tensors=tensors)
    with pytest.raises(WeightsError, match=r"1\.ffn_up\.weight is stored as I32, which cannot"):
        load_gguf_llama(GgufFile(path))


def test_a_part_of_a_model_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    write_gguf(path, CONFIG, random_weights(CONFIG), metadata={"split.count": 3})
    with pytest.raises(WeightsError, match="expected a whole model, got one of 3 files"):
        GgufFile(path)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGML" + bytes(100))
    with pytest.raises(WeightsError, match="expected a GGUF file, got one that is damaged"):
        GgufFile(path)
    path.write_bytes(b"<!DOCTYPE html>" + bytes(100))
    with pytest.raises(WeightsError, match="expected a GGUF file, got a web page"):
        GgufFile(path)
    with pytest.raises(FileNotFoundError):
        GgufFile(tmp_path / "absent.gguf")


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    write_gguf(path, CONFIG, random_weights(CONFIG))
    whole = path.read_bytes()
    for length in (len(whole) // 2, 200, 10):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="expected a GGUF file"):
            GgufFile(path)
