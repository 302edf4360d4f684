"""Live against transformers' `HrmTextForCausalLM`, on random configs, in both directions."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.convert.hrm_text import load_hrm_text, save_hrm_text, split
from hrm_jax.convert.pytorch import text_name, to_state_dict
from hrm_jax.core.types import Variables
from hrm_jax.losses.token import next_token_cross_entropy
from hrm_jax.models.hrm_text import HrmText, HrmTextConfig

pytestmark = pytest.mark.oracle

# as for the recordings
LOGIT_TOLERANCE = 1e-4
LOSS_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-3
B = 3
T = 11
SEEDS = (0, 1, 2, 7)  # of configs: with them every field takes several values


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pytest.importorskip("transformers")
        found.HrmTextForCausalLM  # noqa: B018  it is imported when it is asked for
    found.utils.logging.disable_progress_bar()
    return found


def random_fields(rng: np.random.Generator) -> dict:
    """A config of transformers' that touches every field that is implemented here."""
    heads = int(rng.integers(1, 4))
    head_dim = 2 * int(rng.integers(2, 7))
    H_cycles = int(rng.integers(1, 4))
    L_cycles = int(rng.integers(1, 4))
    scale = [None, float(rng.uniform(5, 60))][rng.integers(2)]
    return {
        "vocab_size": int(rng.integers(40, 90)),
        "hidden_size": heads * int(rng.integers(6, 12)),
        "intermediate_size": int(rng.integers(8, 40)),
        "num_hidden_layers": int(rng.integers(1, 4)),
        "num_attention_heads": heads,
        "head_dim": head_dim,
        "H_cycles": H_cycles,
        "L_cycles": L_cycles,
        "L_bp_cycles": rng.integers(0, L_cycles + 2, rng.integers(0, H_cycles + 2)).tolist(),
        "embedding_scale": scale,
        "initializer_range": float(rng.uniform(0.02, 0.2)),
        "prefix_lm": bool(rng.integers(4)),
        "tie_word_embeddings": bool(rng.integers(2)),
        "rms_norm_eps": float(rng.choice([1e-6, 1e-5])),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(rng.uniform(50, 1e5))},
        "pad_token_id": [None, 3][rng.integers(2)],
        "eos_token_id": [None, 2, [2, 5]][rng.integers(3)],
        "attn_implementation": "eager",
    }


@pytest.fixture(scope="module", params=SEEDS)
def theirs(transformers, request):
    """A model of theirs with random weights, large enough that everything is felt."""
    import torch

    torch.manual_seed(request.param)
    fields = random_fields(np.random.default_rng(request.param))
    model = transformers.HrmTextForCausalLM(transformers.HrmTextConfig(**fields)).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.normal_(0, 1 if name.endswith("z_L_init") else tensor.shape[-1] ** -0.5)
    return model


def texts(vocab_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, types of prefixes of different lengths, and labels of what follows them."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, vocab_size, (B, T))
    types = (np.arange(T) < np.array([[0], [4], [9]])).astype(np.int64)
    return tokens, types, np.where(types, -100, tokens)


def run_theirs(model, tokens, types=None, **arrays):
    import torch

    tensors = {name: torch.tensor(value) for name, value in arrays.items()}
    types = None if types is None else torch.tensor(types)
    return model(torch.tensor(tokens), token_type_ids=types, use_cache=False, **tensors)


def their_logits(model, tokens, types=None, **arrays) -> np.ndarray:
    return run_theirs(model, tokens, types, **arrays).logits.detach().numpy()


def assert_same_logits(model, ours: HrmText, variables: Variables) -> None:
    tokens, types, _ = texts(ours.config.vocab_size)
    for mode in (None, types):
        found = jax.jit(ours.logits)(
            variables, jnp.asarray(tokens), token_types=None if mode is None else jnp.asarray(mode)
        )
        expected = their_logits(model, tokens, mode)
        np.testing.assert_allclose(found, expected, rtol=0, atol=LOGIT_TOLERANCE)


def test_their_checkpoint_gives_the_same_logits_loss_and_gradients_here(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    ours, variables = load_hrm_text(tmp_path)
    assert_same_logits(theirs, ours, variables)
    tokens, types, labels = texts(ours.config.vocab_size)
    theirs.zero_grad()
    their_loss = run_theirs(theirs, tokens, types, labels=labels).loss
    their_loss.backward()

    @jax.jit
    @jax.value_and_grad
    def differentiate(params):
        values = Variables(params, variables.buffers, None)
        logits = ours.logits(values, jnp.asarray(tokens), token_types=jnp.asarray(types))
        return (
            next_token_cross_entropy(logits, jnp.asarray(labels)).sum()
            / (labels[:, 1:] != -100).sum()
        )

    loss, gradients = differentiate(variables.params)
    np.testing.assert_allclose(loss, their_loss.item(), rtol=LOSS_TOLERANCE)
    found = split(to_state_dict(Variables(gradients, nnx.State({}), None), text_name))
    expected = {k: p for k, p in theirs.named_parameters() if not k.endswith("z_L_init")}
    assert found.keys() == expected.keys()
    for name, parameter in expected.items():
        if parameter.grad is None:
            np.testing.assert_array_equal(found[name], 0, err_msg=name)
            continue
        value = parameter.grad.numpy()
        tolerance = GRADIENT_TOLERANCE * np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance, err_msg=name)


def test_padding_here_is_their_attention_mask(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    ours, variables = load_hrm_text(tmp_path)
    tokens, types, _ = texts(ours.config.vocab_size)
    lengths = np.array([11, 7, 10])
    real = np.arange(T)[None] < lengths[:, None]
    expected = their_logits(theirs, tokens, types, attention_mask=real.astype(np.int64))
    found = ours.logits(
        variables,
        jnp.asarray(tokens),
        token_types=jnp.asarray(types),
        lengths=jnp.asarray(lengths),
    )
    np.testing.assert_allclose(found[real], expected[real], rtol=0, atol=LOGIT_TOLERANCE)


def test_our_checkpoint_gives_the_same_logits_there(theirs, transformers, tmp_path):
    """Their weights read and written again, in several files; and fresh weights of ours."""
    theirs.save_pretrained(tmp_path / "theirs")
    ours, variables = load_hrm_text(tmp_path / "theirs")
    fresh = ours.init(jax.random.key(0))
    for name, values in (("same", variables), ("fresh", fresh)):
        save_hrm_text(tmp_path / name, ours.config, values, max_shard_bytes=20_000)
        loaded, report = transformers.HrmTextForCausalLM.from_pretrained(
            tmp_path / name, attn_implementation="eager", output_loading_info=True
        )
        assert not any(report.values()), report
        assert_same_logits(loaded.eval(), ours, values)
        if name == "same":
            for key, tensor in theirs.state_dict().items():
                np.testing.assert_array_equal(loaded.state_dict()[key], tensor, key)


def test_greedy_tokens_are_theirs(theirs, tmp_path):
    import torch

    theirs.save_pretrained(tmp_path)
    ours, variables = load_hrm_text(tmp_path)
    prompt = texts(ours.config.vocab_size)[0][:1, :5]
    types = np.ones_like(prompt)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs.generate(
            torch.tensor(prompt),
            token_type_ids=torch.tensor(types),
            attention_mask=torch.ones_like(torch.tensor(prompt)),
            max_new_tokens=8,
            do_sample=False,
        ).numpy()[0]
    decode = jax.jit(ours.decode, donate_argnames="cache")
    logits, cache = ours.prefill(
        variables, jnp.asarray(prompt), room=13, token_types=jnp.asarray(types)
    )
    tokens = prompt[0].tolist()
    while len(tokens) < len(expected):
        tokens.append(int(logits.argmax(-1)[0]))
        logits, cache = decode(variables, jnp.full((1, 1), tokens[-1]), cache=cache)
        logits = logits[:, 0]
    assert tokens == expected.tolist()


def test_every_field_of_theirs_is_known_and_every_one_of_ours_is_theirs(transformers, tmp_path):
    """What they write with all defaults is read; what we write they read as the same config."""
    transformers.HrmTextConfig().save_pretrained(tmp_path)
    from hrm_jax.convert.hrm_text_config import from_hugging_face, to_hugging_face

    config = from_hugging_face(json.loads((tmp_path / "config.json").read_text()))
    assert (config.vocab_size, config.layers_per_stack) == (151808, 16)
    (tmp_path / "config.json").write_text(json.dumps(to_hugging_face(config)))
    again = transformers.HrmTextConfig.from_pretrained(tmp_path).to_dict()
    expected = transformers.HrmTextConfig().to_dict()
    different = {k for k in expected.keys() | again.keys() if expected.get(k) != again.get(k)}
    assert different <= {"architectures", "dtype", "_name_or_path"}
    assert isinstance(config, HrmTextConfig)
