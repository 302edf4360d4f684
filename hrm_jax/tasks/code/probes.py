"""What a model of text makes of the same few prompts: what `probes.jsonl` of a code run holds.

Besides `version`, `step` and `time_seconds` a record has `kind`, "text", and

    samples    a list of `prompt`, `completion` and `parses`, whether both are Python
    thoughts   of the first `PROMPTS` prompts, a list of

        tokens    the prompt's tokens as texts, at most its last `TOKENS`
        next      the likeliest next tokens: a list of text and probability in percent
        H, L      of models with levels: for each call of the slow and of the fast level, how far
                  it moved its state at each token, in percent of the state's size before it
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.types import Variables
from hrm_jax.models.text_model import TextModel
from hrm_jax.tasks.code.samples import Sample

PROMPTS = 4
TOKENS = 48
LIKELIEST = 8
_MOST_PERCENT = 999


def probe(
    model: TextModel[Any],
    variables: Variables,
    tokenizer: Tokenizer,
    samples: Sequence[Sample],
    *,
    prompts_are_prefixes: bool = False,
) -> dict[str, Any]:
    """Returns the record of samples that a model has written.

    Args:
      model: the model.
      variables: its values.
      tokenizer: its tokenizer.
      samples: what it wrote.
      prompts_are_prefixes: whether tokens of a prompt see each other.
    """
    prompts = [tokenizer.begin(sample.prompt)[-TOKENS:] for sample in samples[:PROMPTS]]
    # Of one shape, whatever the prompts are: it is compiled once.
    tokens = np.zeros((PROMPTS, TOKENS), np.int32)
    # Rows without a prompt count as one token, and what is seen of them is dropped.
    lengths = np.ones(PROMPTS, np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
        lengths[row] = max(1, len(prompt))
    seen = _look(model, variables, tokens, lengths, prompts_are_prefixes)
    likeliest, probabilities, movement = jax.device_get(seen)
    thoughts = []
    for row, prompt in enumerate(prompts):
        pairs = zip(likeliest[row].tolist(), _percents(probabilities[row]), strict=True)
        levels = {name: _percents(moved[:, row, : len(prompt)]) for name, moved in movement.items()}
        thoughts.append(
            {
                "tokens": [_text(tokenizer, token) for token in prompt],
                "next": [[_text(tokenizer, token), percent] for token, percent in pairs],
                **levels,
            }
        )
    written = list(map(dataclasses.asdict, samples))
    return {"kind": "text", "samples": written, "thoughts": thoughts}


@functools.partial(jax.jit, static_argnums=(0, 4))
def _look(
    model: TextModel[Any],
    variables: Variables,
    tokens: Int[Array, "B T"],
    lengths: Int[Array, " B"],
    prompts_are_prefixes: bool,
) -> tuple[Int[Array, "B k"], Float[Array, "B k"], dict[str, Float[Array, "calls B T"]]]:
    """Returns the likeliest next tokens with their probabilities, and the levels' movement."""
    types = jax.numpy.ones_like(tokens) if prompts_are_prefixes else None
    logits = model.logits(variables, tokens, token_types=types, lengths=lengths)
    # The logits at a prompt's last token are those of the token after it.
    last = jax.numpy.take_along_axis(logits, (lengths - 1)[:, None, None], axis=1)[:, 0]
    probabilities = jax.nn.softmax(last.astype(jax.numpy.float32))
    best, likeliest = jax.lax.top_k(probabilities, min(LIKELIEST, probabilities.shape[-1]))
    movement: dict[str, Any] = {}
    module: Any = model.bind(variables)
    # A plain transformer has no levels that move.
    if hasattr(module, "movement"):
        attend = model.config.attention.whole(tokens.shape[1], types, None, lengths)
        movement["H"], movement["L"] = module.movement(tokens, attend)
    return likeliest, best, movement


def _percents(shares: Any) -> Any:
    """Returns shares as whole numbers of percent; 0 for what is no number, and none beyond 999."""
    # A model that diverges has none: the run ends by that, not by its probes.
    finite = np.nan_to_num(100 * np.asarray(shares, float), posinf=_MOST_PERCENT, neginf=0)
    return np.rint(np.clip(finite, 0, _MOST_PERCENT)).astype(int).tolist()


def _text(tokenizer: Tokenizer, token: int) -> str:
    """Returns a token's text; a number in brackets for one that has none."""
    if token >= tokenizer.vocab_size:  # the model's vocabulary may be larger
        return f"[{token}]"
    return tokenizer.decode([token]) or f"[{token}]"
