"""Equality with recordings of transformers' `HrmTextForCausalLM`, tensor by tensor.

A recording is a Hugging Face folder with a `golden.npz` beside the weights: `input_ids`,
`token_type_ids`, `logits_prefix`, `logits_causal`, `labels`, `loss` and `grad/<name>` (PrefixLM),
`greedy_prompt`, `greedy_{prefix,causal}_tokens` (the prompt, all of it a prefix, and what follows).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.convert.hrm_text import load_hrm_text, split
from hrm_jax.convert.pytorch import text_name, to_state_dict
from hrm_jax.core.types import IGNORE_LABEL, Variables
from hrm_jax.losses.token import next_token_cross_entropy
from hrm_jax.models.hrm_text import HrmText

pytestmark = pytest.mark.golden

LOGIT_TOLERANCE = 1e-4  # absolute
LOSS_TOLERANCE = 1e-5  # relative
GRADIENT_TOLERANCE = 1e-3  # of the largest entry of each tensor
CACHE_TOLERANCE = 1e-5  # absolute


@dataclasses.dataclass(frozen=True)
class Recording:
    model: HrmText
    variables: Variables
    arrays: dict[str, np.ndarray]

    def through(self, backend: str) -> HrmText:
        """The model with the attention of a backend."""
        return HrmText(dataclasses.replace(self.model.config, attention_backend=backend))

    def tokens(self, name: str) -> jax.Array:
        return jnp.asarray(self.arrays[name], jnp.int32)

    def token_types(self, mode: str, shape: tuple[int, int], prompt: int) -> jax.Array | None:
        """Of greedy decoding: the prompt is the prefix, or there is none."""
        if mode == "causal":
            return None
        return jnp.broadcast_to((jnp.arange(shape[1]) < prompt).astype(jnp.int32)[None], shape)


@pytest.fixture(scope="module")
def recording(text_recording_path) -> Recording:
    model, variables = load_hrm_text(text_recording_path)
    return Recording(model, variables, dict(np.load(text_recording_path / "golden.npz")))


def test_every_array_is_checked(recording):
    plain = {name for name in recording.arrays if not name.startswith("grad/")}
    assert plain == {
        *("input_ids", "token_type_ids", "logits_prefix", "logits_causal", "labels", "loss"),
        *("greedy_prompt", "greedy_prefix_tokens", "greedy_causal_tokens"),
    }


@pytest.mark.parametrize("backend", ["xla", "interpret"])
@pytest.mark.parametrize("mode", ["prefix", "causal"])
def test_logits(recording, mode, backend):
    types = recording.tokens("token_type_ids") if mode == "prefix" else None
    logits = jax.jit(recording.through(backend).logits)
    found = logits(recording.variables, recording.tokens("input_ids"), token_types=types)
    np.testing.assert_allclose(
        found, recording.arrays[f"logits_{mode}"], rtol=0, atol=LOGIT_TOLERANCE
    )


@pytest.mark.parametrize("backend", ["xla", "interpret"])
def test_loss_and_gradients(recording, backend):
    model = recording.through(backend)
    variables = recording.variables
    tokens, types, labels = map(recording.tokens, ("input_ids", "token_type_ids", "labels"))

    @jax.jit
    @jax.value_and_grad
    def loss_and_gradients(params):
        logits = model.logits(
            dataclasses.replace(variables, params=params), tokens, token_types=types
        )
        losses = next_token_cross_entropy(logits, labels)
        return losses.sum() / (labels[:, 1:] != IGNORE_LABEL).sum()

    loss, gradients = loss_and_gradients(variables.params)
    np.testing.assert_allclose(loss, recording.arrays["loss"], rtol=LOSS_TOLERANCE)
    found = split(to_state_dict(Variables(gradients, nnx.State({}), None), text_name))
    expected = {k.removeprefix("grad/"): v for k, v in recording.arrays.items() if "grad/" in k}
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        tolerance = GRADIENT_TOLERANCE * np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("mode", ["prefix", "causal"])
def test_greedy_tokens_through_the_cache(recording, mode):
    model = recording.model
    variables = recording.variables
    prompt = recording.tokens("greedy_prompt")
    expected = recording.arrays[f"greedy_{mode}_tokens"]
    types = recording.token_types(mode, prompt.shape, prompt.shape[1])
    decode = jax.jit(model.decode, donate_argnames="cache")
    prefill = jax.jit(model.prefill, static_argnames="room")
    logits, cache = prefill(variables, prompt, room=expected.shape[1], token_types=types)
    tokens = [*prompt.T]
    while len(tokens) < expected.shape[1]:
        tokens.append(logits.argmax(-1).astype(jnp.int32))
        logits, cache = decode(variables, tokens[-1][:, None], cache=cache)
        logits = logits[:, 0]
    np.testing.assert_array_equal(jnp.stack(tokens, 1), expected)


@pytest.mark.parametrize("mode", ["prefix", "causal"])
def test_decoding_from_the_cache_equals_reading_the_whole(recording, mode):
    model = recording.model
    variables = recording.variables
    tokens = recording.tokens(f"greedy_{mode}_tokens")
    prompt = recording.arrays["greedy_prompt"].shape[1]
    T = tokens.shape[1]
    types = recording.token_types(mode, tokens.shape, prompt)
    whole = jax.jit(model.logits)(variables, tokens, token_types=types)
    types = None if types is None else types[:, :prompt]
    prefill = jax.jit(model.prefill, static_argnames="room")
    logits, cache = prefill(variables, tokens[:, :prompt], room=T, token_types=types)
    found = [logits]
    decode = jax.jit(model.decode, donate_argnames="cache")
    for t in range(prompt, T):
        logits, cache = decode(variables, tokens[:, t : t + 1], cache=cache)
        found.append(logits[:, 0])
    np.testing.assert_allclose(
        jnp.stack(found, 1), whole[:, prompt - 1 :], rtol=0, atol=CACHE_TOLERANCE
    )
