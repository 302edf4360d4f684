"""The exactness suite: what rounding activations to 8 bits changes in what a model says.

The text is the source of this project's own writer, which every checkout has.
"""

import dataclasses
import gc
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from experiments.common.terminal import Table
from hrm_jax.convert.language import load_language_model
from hrm_jax.inference.text import writing

_TEXT = pathlib.Path(writing.__file__)


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      models: names or GGUF files.
      holdings: of weights, beside float32; of `hrm_jax.convert.holding.HOLDINGS`.
      tokens: of the text.
    """

    models: Sequence[str]
    holdings: Sequence[str] = ("stored",)
    tokens: int = 1024


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures every model, prints a table, and returns the figures as JSON values."""
    table = Table(title=f"{options.tokens} tokens of {_TEXT.name}, beside widened weights")
    for name in ("model", "weights", "perplexity", "same token", "divergence, nats", "logits, rms"):
        table.add_column(name, justify="left" if name in ("model", "weights") else "right")
    results = []
    for model in options.models:
        # Weights widened to float32 are multiplied with activations that are not rounded.
        expected, tokens = _logits(model, "float32", options.tokens)
        for holding in ("float32", *options.holdings):
            logits = expected if holding == "float32" else _logits(model, holding, len(tokens))[0]
            row = {"model": model, "weights": holding, **_figures(logits, expected, tokens)}
            results.append(row)
            table.add_row(
                pathlib.Path(model).name,
                holding,
                f"{row['perplexity']:.3f}",
                f"{100 * row['same_token']:.1f} %",
                f"{row['divergence']:.5f}",
                f"{row['logits_rms']:.3f}",
            )
    console.print(table)
    return {"options": dataclasses.asdict(options), "results": results}


def _logits(model: str, holding: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    loaded = load_language_model(model, dtype=holding)
    tokens = np.array(loaded.tokenizer.encode(_TEXT.read_text())[:count], np.int32)
    logits = jax.jit(loaded.model.logits)(loaded.variables, jnp.asarray(tokens)[None])
    found = np.asarray(logits[0], np.float64)
    # The weights' memory is free before the next ones are loaded.
    del loaded, logits
    gc.collect()
    return found, tokens


def _figures(logits: np.ndarray, expected: np.ndarray, tokens: np.ndarray) -> dict[str, float]:
    found = _log_probabilities(logits)
    wanted = _log_probabilities(expected)
    # A token's probability stands at the place before it.
    following = found[np.arange(len(tokens) - 1), tokens[1:]]
    return {
        "perplexity": float(np.exp(-following.mean())),
        "same_token": float((found.argmax(-1) == wanted.argmax(-1)).mean()),
        # Kullback-Leibler divergence of what is found from what is wanted, mean over places.
        "divergence": float((np.exp(wanted) * (wanted - found)).sum(-1).mean()),
        "logits_rms": float(np.sqrt(np.mean((logits - expected) ** 2))),
    }


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    # Shifted by the largest, so that no exponential overflows.
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
