"""One entry point to models of every format: what is loaded, saved, and refused."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("tokenizers", reason="needs the extra foundation")
pytest.importorskip("gguf", reason="needs the extra foundation")

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.language import (
    LoadedLanguageModel,
    load_language_model,
    reason_on,
    save_language_model,
)
from hrm_jax.convert.llama import llama_weights
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.data.text.chat import ChatTemplate
from hrm_jax.data.text.token_bytes import TokenizerError
from hrm_jax.data.text.tokenizers import ByteTokenizer, train_bpe
from hrm_jax.models.hrm_llama import HrmLlama
from hrm_jax.models.hrm_text import HrmText, hrm_text
from hrm_jax.models.llama import Llama, LlamaConfig
from tests.hrm_jax.convert.gguf_files import TOKENS, write_gguf

LLAMA = LlamaConfig(
    vocab_size=260,
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_key_heads=1,
    head_size=8,
    mlp_width=32,
    initializer_range=0.25,
    eos_tokens=(256,),
)
HRM_TEXT = hrm_text(
    "nano",
    vocab_size=260,
    hidden_size=8,
    num_heads=2,
    head_size=4,
    mlp_width=8,
    initializer_range=0.25,
    embedding_scale=4.0,
)
TEXT = jnp.asarray([list(b"abc abc")])


def fresh(model, tokenizer=None, **fields) -> LoadedLanguageModel:
    variables = model.init(jax.random.key(0))
    return LoadedLanguageModel(model, variables, tokenizer or ByteTokenizer(), **fields)


def assert_same(found: LoadedLanguageModel, expected: LoadedLanguageModel) -> None:
    assert found.model == expected.model
    jax.tree.map(np.testing.assert_array_equal, found.variables, expected.variables)
    text = "abc <|endoftext|> ü"
    assert found.tokenizer.encode(text) == expected.tokenizer.encode(text)
    assert found.tokenizer.eos_tokens == expected.tokenizer.eos_tokens
    assert found.chat_template == expected.chat_template


@pytest.fixture
def foundation(tmp_path) -> LoadedLanguageModel:
    saved = fresh(Llama(LLAMA), chat_template=ChatTemplate("{{x}}"))
    save_language_model(tmp_path / "foundation", saved)
    return load_language_model(tmp_path / "foundation")


@pytest.mark.parametrize("model", [Llama(LLAMA), HrmText(HRM_TEXT)])
@pytest.mark.parametrize(
    "template", [None, ChatTemplate("{{x}}"), ChatTemplate("{{x}}", with_tools="{{tools}}")]
)
def test_what_is_saved_is_loaded(tmp_path, model, template):
    saved = fresh(model, chat_template=template)
    for _ in range(2):  # the second over the first
        save_language_model(tmp_path / "model", saved)
    assert_same(load_language_model(tmp_path / "model"), saved)


def test_a_folder_of_a_run_stands_for_the_model_in_it(tmp_path):
    saved = fresh(Llama(LLAMA))
    save_language_model(tmp_path / "model", saved)
    (tmp_path / "config.json").write_text('{"loop": {}}')
    assert_same(load_language_model(tmp_path), saved)


def test_a_tokenizer_with_merges_goes_with_its_model(tmp_path):
    model = Llama(dataclasses.replace(LLAMA, vocab_size=264))
    saved = fresh(model, train_bpe(["abc abc abc"] * 3, 264))
    save_language_model(tmp_path / "model", saved)
    assert_same(load_language_model(tmp_path / "model"), saved)


def test_generation_stops_at_every_end_that_the_folder_names(tmp_path):
    model = Llama(dataclasses.replace(LLAMA, vocab_size=262))
    save_language_model(tmp_path / "model", fresh(model, train_bpe(["ab"] * 3, 262)))
    (first,) = load_language_model(tmp_path / "model").tokenizer.eos_tokens
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [7, first]}))
    assert load_language_model(tmp_path / "model").tokenizer.eos_tokens == (first, 7)
    path.write_text(json.dumps({"eos_token_id": 9}))
    assert load_language_model(tmp_path / "model").tokenizer.eos_tokens == (first, 9)
    for wrong in ("</s>", [[], 7], {}):
        path.write_text(json.dumps({"eos_token_id": wrong}))
        with pytest.raises(ConfigError, match=r"generation_config\.json: eos_token_id: expected"):
            load_language_model(tmp_path / "model")


def test_tokens_beyond_the_embedding_are_named(tmp_path):
    save_language_model(tmp_path / "model", fresh(Llama(LLAMA), train_bpe(["ab"] * 3, 262)))
    with pytest.raises(WeightsError, match=r"260 rows.* 1 tokens beyond them: 260 \(ab\); take"):
        load_language_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("special_tokens_map.json", {"eos_token": {"content": "<|endoftext|>"}}),
        ("config.json", {"eos_token_id": 256}),
        ("config.json", {"eos_token_id": [256]}),
    ],
)
def test_the_end_of_a_text_may_be_named_beside_the_tokenizers_config(tmp_path, file, content):
    model = Llama(dataclasses.replace(LLAMA, vocab_size=262))
    save_language_model(tmp_path / "model", fresh(model, train_bpe(["ab"] * 3, 262)))
    folder = tmp_path / "model"
    expected = load_language_model(folder).tokenizer.eos_tokens
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "X", "eos_token": null}')
    config = json.loads((folder / "config.json").read_text()) | {"eos_token_id": None}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").unlink(missing_ok=True)
    with pytest.raises(TokenizerError, match=r"names no eos_token, nor does special_tokens_map"):
        load_language_model(folder)
    path = folder / file
    before = json.loads(path.read_text()) if path.exists() else {}
    if "eos_token_id" in content:
        content = {"eos_token_id": list(expected)}
    path.write_text(json.dumps(before | content))
    assert load_language_model(folder).tokenizer.eos_tokens == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"tokenizer\.json: expected JSON text, got .*; get the file anew"),
        ("[]", r"tokenizer\.json: expected an object, got \[\]"),
        ('{"pre_tokenizer": {"type": "Novel"}}', r"cannot read it .*'pre_tokenizer': 'Novel'"),
    ],
)
def test_a_tokenizer_that_cannot_be_read_is_named(tmp_path, content, message):
    model = Llama(dataclasses.replace(LLAMA, vocab_size=262))
    save_language_model(tmp_path / "model", fresh(model, train_bpe(["ab"] * 3, 262)))
    (tmp_path / "model" / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=message):
        load_language_model(tmp_path / "model")


def test_an_untied_config_without_a_head_is_tied_with_a_warning(tmp_path, caplog):
    tied = fresh(Llama(dataclasses.replace(LLAMA, tie_embeddings=True)))
    save_language_model(tmp_path / "model", tied)
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": False}))
    assert_same(load_language_model(tmp_path / "model"), tied)
    assert "there is no lm_head.weight: the embedding is the head" in caplog.text


def test_rotary_frequencies_of_older_files_are_left_out(tmp_path):
    saved = fresh(Llama(LLAMA))
    save_language_model(tmp_path / "model", saved)
    path = tmp_path / "model" / "model.safetensors"
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    save_state_dict(path, load_state_dict(path) | {name: np.ones(4, np.float32)})
    assert_same(load_language_model(tmp_path / "model"), saved)


def test_an_older_folder_has_its_template_among_the_tokenizers_fields(tmp_path):
    save_language_model(tmp_path / "model", fresh(Llama(LLAMA)))
    path = tmp_path / "model" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": "{{y}}"}))
    assert load_language_model(tmp_path / "model").chat_template == ChatTemplate("{{y}}")


def test_a_gguf_file_has_everything(tmp_path):
    config = dataclasses.replace(LLAMA, vocab_size=len(TOKENS), hidden_size=32, eos_tokens=(0,))
    variables = Llama(config).init(jax.random.key(0))
    metadata = {"tokenizer.chat_template": "{{z}}"}
    path = tmp_path / "model.gguf"
    write_gguf(path, config, llama_weights(config, variables), metadata=metadata)
    loaded = load_language_model(path)
    assert loaded.chat_template == ChatTemplate("{{z}}")
    assert loaded.tokenizer.encode("ab") == [6]
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    save_language_model(tmp_path / "model", loaded)
    again = load_language_model(tmp_path / "model")
    found, expected = (
        one.model.logits(one.variables, jnp.asarray([[2, 3]])) for one in (again, loaded)
    )
    np.testing.assert_array_equal(found, expected)


def test_bfloat16_holds_and_computes_in_bfloat16(tmp_path, foundation):
    narrow = load_language_model(tmp_path / "foundation", dtype="bfloat16")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(narrow.variables)} == {"bfloat16"}
    assert narrow.model.logits(narrow.variables, TEXT).dtype == jnp.bfloat16
    save_language_model(tmp_path / "narrow", narrow)
    wide = load_language_model(tmp_path / "narrow")
    assert wide.model == foundation.model
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, b.astype(jnp.float32)),
        wide.variables,
        narrow.variables,
    )


@pytest.mark.parametrize("frozen", [True, False])
def test_a_reasoned_model_is_saved_with_the_foundation_it_stands_on(tmp_path, foundation, frozen):
    fields = {"freeze_foundation": frozen, "layers_per_level": 1, "H_cycles": 3}
    reasoned = reason_on(foundation, jax.random.key(1), **fields)
    assert isinstance(reasoned.model, HrmLlama)
    found, expected = (one.model.logits(one.variables, TEXT) for one in (reasoned, foundation))
    np.testing.assert_array_equal(found, expected)
    for _ in range(2):
        save_language_model(tmp_path / "reasoned", reasoned)
    size = (tmp_path / "reasoned" / "model.safetensors").stat().st_size
    values = sum(leaf.nbytes for leaf in jax.tree.leaves(reasoned.variables.params))
    assert size < values + 16 * 4 + 10_000  # of a frozen foundation nothing
    loaded = load_language_model(tmp_path / "reasoned")
    assert_same(loaded, reasoned)
    if frozen:
        assert loaded.origin == foundation.origin


def test_another_foundation_than_it_was_trained_on_is_refused(tmp_path, foundation):
    save_language_model(tmp_path / "reasoned", reason_on(foundation, jax.random.key(1)))
    other = dataclasses.replace(foundation, variables=Llama(LLAMA).init(jax.random.key(5)))
    save_language_model(tmp_path / "foundation", other)
    with pytest.raises(WeightsError, match="trained on other weights than are at"):
        load_language_model(tmp_path / "reasoned")


def test_a_foundation_is_not_replaced_by_what_stands_on_it(tmp_path, foundation):
    with pytest.raises(WeightsError, match="holds the foundation of this model; choose another"):
        save_language_model(tmp_path / "foundation", reason_on(foundation, jax.random.key(1)))
    assert_same(load_language_model(tmp_path / "foundation"), foundation)


def test_reasoning_stands_on_a_decoder_alone(tmp_path):
    with pytest.raises(ConfigError, match=r"foundation: expected a model of Llama's .*got HrmText"):
        reason_on(fresh(HrmText(HRM_TEXT)), jax.random.key(0))


@pytest.mark.parametrize(
    ("file", "named", "message"),
    [
        ("adapter_config.json", "", r"holds an adapter \(LoRA\) alone: merge it"),
        ("README.md", "", r"is a folder without config\.json"),
        ("model.safetensors", "model.safetensors", "is a file: name the folder that it lies in"),
    ],
)
def test_what_lies_at_a_path_that_is_no_model_is_told(tmp_path, file, named, message):
    (tmp_path / file).touch()
    with pytest.raises(WeightsError, match=message):
        load_language_model(tmp_path / named)


def test_a_tokenizer_without_a_config_has_its_ends_from_other_files(tmp_path):
    folder = tmp_path / "model"
    save_language_model(folder, fresh(Llama(LLAMA), train_bpe(["ab"] * 3, 260)))
    (folder / "tokenizer_config.json").unlink()
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token_id": 3}))
    assert load_language_model(folder).tokenizer.eos_tokens == (3,)


@pytest.mark.parametrize(
    ("field", "value"), [("model_type", []), ("model_type", True), ("architectures", True)]
)
def test_a_field_of_another_type_is_named(tmp_path, foundation, field, value):
    save_language_model(tmp_path / "model", foundation)
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {field: value}))
    with pytest.raises(ConfigError, match=f"{field}: expected .*, got"):
        load_language_model(tmp_path / "model")


def test_what_is_no_model_is_refused(tmp_path, foundation):
    with pytest.raises(
        WeightsError, match=r"one of qwen2.*, smollm2-135m; there is none at .*absent"
    ):
        load_language_model(tmp_path / "absent")
    with pytest.raises(
        WeightsError, match=r"expected a folder with config\.json, a run's folder, a \.gguf file"
    ):
        load_language_model(tmp_path)
    with pytest.raises(ConfigError, match=r"dtype: expected one of .*got 'float16'"):
        load_language_model(tmp_path / "foundation", dtype="float16")
    (tmp_path / "foundation" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match=r"model_type: expected one of .*got 'bert'"):
        load_language_model(tmp_path / "foundation")


def test_a_folder_of_something_else_is_left_alone(tmp_path, foundation):
    (tmp_path / "foundation" / "notes.txt").touch()
    with pytest.raises(WeightsError, match=r"found notes\.txt; choose another"):
        save_language_model(tmp_path / "foundation", foundation)
    assert_same(load_language_model(tmp_path / "foundation"), foundation)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "config: expected the fields of a model, got nothing"),
        ({"config": {"H_cycle": 3}}, "H_cycle: unknown field; the nearest is H_cycles"),
        ({"config": {}, "foundation": {"path": "x"}}, "foundation: expected a path and a sha256"),
    ],
)
def test_a_broken_reasoned_config_is_refused(tmp_path, foundation, config, message):
    save_language_model(tmp_path / "reasoned", reason_on(foundation, jax.random.key(1)))
    path = tmp_path / "reasoned" / "config.json"
    path.write_text(json.dumps({"model_type": "hrm_reasoned", **config}))
    with pytest.raises(ConfigError, match=message):
        load_language_model(tmp_path / "reasoned")
