"""Live against transformers' decoders, on small random configs, in both directions."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.convert.llama import llama_weights, load_llama, save_llama
from hrm_jax.convert.llama_config import ARCHITECTURES, from_hugging_face
from hrm_jax.core.types import Variables
from hrm_jax.losses.token import next_token_cross_entropy
from hrm_jax.models.llama import Llama

pytestmark = pytest.mark.oracle

LOGIT_TOLERANCE = 1e-4
LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-3
B = 2
T = 11
V = 61
SIZES = {
    "vocab_size": V,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "attn_implementation": "eager",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 50.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 24,
}
CASES = {
    "llama": ("llama", {"tie_word_embeddings": True, "head_dim": 6}),
    "llama_untied_own_head_size": ("llama", {"head_dim": 10, "rms_norm_eps": 1e-5}),
    "llama_biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama_linear": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5}},
    ),
    "llama3": ("llama", {"rope_parameters": LLAMA3, "eos_token_id": [2, 5]}),
    "mistral": ("mistral", {"sliding_window": 4, "head_dim": 8}),
    "mistral_whole": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True, "rope_parameters": {"rope_theta": 1e6}}),
    "qwen3": ("qwen3", {"head_dim": 8}),
}


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("transformers")
        for architecture in ARCHITECTURES.values():
            getattr(found, architecture)  # it is imported when it is asked for
    found.utils.logging.disable_progress_bar()
    return found


@pytest.fixture(scope="module", params=CASES)
def theirs(transformers, request):
    """A model of theirs with random weights, large enough that everything is felt."""
    import torch

    torch.manual_seed(0)
    kind, fields = CASES[request.param]
    architecture = getattr(transformers, ARCHITECTURES[kind])
    model = architecture(architecture.config_class(**SIZES | fields)).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.normal_(0, 0.3 if tensor.ndim == 1 else tensor.shape[-1] ** -0.5)
            if "norm" in name:
                tensor.add_(1)
    return model


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory) -> tuple[Llama, Variables]:
    folder = tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder)
    return load_llama(folder)


def texts() -> np.ndarray:
    return np.random.default_rng(0).integers(0, V, (B, T))


def their_logits(model, tokens) -> np.ndarray:
    import torch

    return model(torch.tensor(tokens), use_cache=False).logits.detach().numpy()


def test_their_checkpoint_gives_the_same_logits_loss_and_gradients_here(theirs, ours):
    import torch

    model, variables = ours
    tokens = texts()
    theirs.zero_grad()
    their_loss = theirs(torch.tensor(tokens), labels=torch.tensor(tokens), use_cache=False).loss
    their_loss.backward()

    @jax.jit
    @jax.value_and_grad
    def differentiate(params):
        logits = model.logits(Variables(params, variables.buffers, None), jnp.asarray(tokens))
        return next_token_cross_entropy(logits, jnp.asarray(tokens)).sum() / (B * (T - 1))

    logits = jax.jit(model.logits)(variables, jnp.asarray(tokens))
    np.testing.assert_allclose(logits, their_logits(theirs, tokens), rtol=0, atol=LOGIT_TOLERANCE)
    loss, gradients = differentiate(variables.params)
    np.testing.assert_allclose(loss, their_loss.item(), rtol=LOSS_TOLERANCE)
    found = llama_weights(model.config, Variables(gradients, nnx.State({}), None))
    expected = dict(theirs.named_parameters())
    assert found.keys() == expected.keys()
    for name, parameter in expected.items():
        value = parameter.grad.numpy()
        tolerance = GRADIENT_TOLERANCE * np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


def test_our_folder_gives_the_same_logits_there(theirs, ours, transformers, tmp_path):
    """In several files, and without a weight that they miss or do not know."""
    model, variables = ours
    save_llama(tmp_path / "ours", model.config, variables, max_shard_bytes=10_000)
    loaded, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    np.testing.assert_array_equal(
        their_logits(loaded.eval(), texts()), their_logits(theirs, texts())
    )
    assert type(loaded).__name__ == type(theirs).__name__ or model.config.window is None
    again, same = load_llama(tmp_path / "ours")
    assert again == model
    jax.tree.map(np.testing.assert_array_equal, same, variables)


def test_greedy_tokens_are_theirs(theirs, ours):
    import torch

    model, variables = ours
    prompt = texts()[:1, :5]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs.generate(
            torch.tensor(prompt),
            attention_mask=torch.ones_like(torch.tensor(prompt)),
            max_new_tokens=8,
            do_sample=False,
            pad_token_id=0,
        ).numpy()[0]
    decode = jax.jit(model.decode, donate_argnames="cache")
    logits, cache = model.prefill(variables, jnp.asarray(prompt), room=13)
    tokens = prompt[0].tolist()
    while len(tokens) < len(expected):
        tokens.append(int(logits.argmax(-1)[0]))
        logits, cache = decode(variables, jnp.full((1, 1), tokens[-1]), cache=cache)
        logits = logits[:, 0]
    assert tokens == expected.tolist()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_field_of_theirs_is_known(transformers, kind, tmp_path):
    """What they write with all defaults is read."""
    theirs = getattr(transformers, ARCHITECTURES[kind]).config_class()
    theirs.save_pretrained(tmp_path)
    config = from_hugging_face(json.loads((tmp_path / "config.json").read_text()))
    assert (config.vocab_size, config.num_layers) == (theirs.vocab_size, theirs.num_hidden_layers)
    assert config.num_key_heads == theirs.num_key_value_heads
