"""How likely a language model holds the known solutions of a suite."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from hrm_jax.core.protocols import LanguageModel, Tokenizer
from hrm_jax.evaluation.suites.problems import Problem, Suite

_LENGTH_STEP = 128
"""Texts are padded to a multiple of it, so that few programs are compiled."""


def nats_per_byte(
    model: LanguageModel, variables: Any, tokenizer: Tokenizer, suite: Suite, max_length: int
) -> Mapping[str, float]:
    """Returns the nats per byte of each problem's solution, given its prompt, by task id.

    Problems whose tokens are more than `max_length` are left out.
    """

    @jax.jit
    def logits_of(variables: Any, tokens: Int[jax.Array, "1 T"]) -> Float[jax.Array, "T V"]:
        return jax.nn.log_softmax(model.logits(variables, tokens)[0].astype(jnp.float32))

    found = {}
    for problem in suite.problems:
        prompt, solution = _tokens(tokenizer, problem)
        tokens = [*prompt, *solution]
        if len(tokens) > max_length or not solution:
            continue
        # Padded behind, and never beyond what the model takes.
        length = min(max_length, -(-len(tokens) // _LENGTH_STEP) * _LENGTH_STEP)
        # What stands behind a token changes nothing of it: models read causally here.
        padded = np.zeros((1, length), np.int32)
        padded[0, : len(tokens)] = tokens
        logs = logits_of(variables, jnp.asarray(padded))
        # The logits at a place are those of the token after it.
        places = np.arange(len(prompt), len(tokens))
        nats = -np.asarray(logs[places - 1, tokens[len(prompt) :]], np.float64).sum()
        found[problem.task_id] = float(nats) / len(problem.canonical.encode())
    return found


def bits_per_byte(nats: Mapping[str, float]) -> float:
    """Returns the mean over problems, in bits."""
    return sum(nats.values()) / max(len(nats), 1) / math.log(2)


def _tokens(tokenizer: Tokenizer, problem: Problem) -> tuple[list[int], list[int]]:
    """Returns the tokens of a prompt and of its solution, each encoded alone."""
    return tokenizer.begin(problem.prompt.prefix), list(tokenizer.encode(problem.canonical))
