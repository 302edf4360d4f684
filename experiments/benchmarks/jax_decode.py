"""Our contestant of the decode suite: the programs that `hrm_jax.inference.text` writes with."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.convert.hrm_text import load_hrm_text, save_hrm_text
from hrm_jax.convert.hugging_face import read_config
from hrm_jax.convert.language import load_language_model, save_language_model
from hrm_jax.convert.llama import load_llama
from hrm_jax.core.protocols import LanguageModel
from hrm_jax.core.types import Variables
from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text.buckets import power_of_two
from hrm_jax.inference.text.healing import Owed, Vocabulary
from hrm_jax.inference.text.reading import PromptReader
from hrm_jax.inference.text.sampling import Draws, SamplingConfig
from hrm_jax.models.hrm_text import HrmText, hrm_text

RANDOM = "hrm_text_"
"""Prefix of the names of HRM-Text with random weights; the size follows."""


def write_folder(name: str, folder: str) -> dict[str, Any]:
    """Writes a model for both contestants as a Hugging Face folder, float32; returns its sizes."""
    if name.startswith(RANDOM):
        model = HrmText(hrm_text(name.removeprefix(RANDOM)))
        variables = jax.jit(model.init)(jax.random.key(0))
        save_hrm_text(folder, model.config, variables)
    else:
        loaded = load_language_model(name)
        model = loaded.model
        variables = loaded.variables
        save_language_model(folder, loaded)
    sizes = [x.size for x in jax.tree.leaves((variables.params, variables.buffers))]
    return {"parameters": sum(sizes), "vocab_size": model.vocab_size}


def build(path: str, prompt: list[int], tokens: int, phase: str) -> Callable[[int], None]:
    """Returns `run(steps)`; see `alternate.Contestant`.

    Args:
      path: the model's folder.
      prompt: the tokens read.
      tokens: that a turn writes at most.
      phase: "decode": a step is a token written after the prompt, each turn from there anew;
        "prefill": a step is the whole prompt read.
    """
    text = Text(*_load(path), prompt, tokens)
    return text.decode if phase == "decode" else text.prefill


def greedy(path: str, prompt: list[int], tokens: int) -> list[int]:
    """Returns the likeliest tokens after a prompt, `tokens` of them."""
    text = Text(*_load(path), prompt, tokens)
    text.decode(tokens)
    return text.written


def _load(folder: str) -> tuple[LanguageModel, Variables]:
    kind = read_config(pathlib.Path(folder)).get("model_type")
    return load_hrm_text(folder) if kind == "hrm_text" else load_llama(folder)


def build_stored(
    path: str, prompt: list[int], tokens: int, rows: int, dtype: str, phase: str
) -> Callable[[int], None]:
    """Returns `run(steps)` as `build`, for `rows` equal texts from a file held in `dtype`."""
    loaded = load_language_model(path, dtype=dtype)
    text = Text(loaded.model, loaded.variables, prompt, tokens, rows)
    return text.decode if phase == "decode" else text.prefill


def greedy_stored(path: str, prompt: list[int], tokens: int, dtype: str) -> list[int]:
    """Returns the likeliest tokens after a prompt, `tokens` of them."""
    loaded = load_language_model(path, dtype=dtype)
    text = Text(loaded.model, loaded.variables, prompt, tokens)
    text.decode(tokens)
    return text.written


class Text:
    """Equal texts, one or more, that are written repeatedly."""

    def __init__(
        self,
        model: LanguageModel,
        variables: Variables,
        prompt: list[int],
        tokens: int,
        rows: int = 1,
    ):
        self.model = model
        self.variables = variables
        self.prompt = prompt
        self.count = rows
        # A power of two, as the room of a writer's rows is.
        self.room = power_of_two(len(prompt) + tokens + 1)
        # No token ends the text: every turn writes the same number of tokens.
        self.nothing_ends = jnp.array([-1], jnp.int32)
        # Nothing was taken back from the prompt, so what tokens stand for is not asked.
        self.pieces = Vocabulary([b""] * model.vocab_size).pieces
        logits, cache = self._read()
        self.rows = device.empty_rows(model, rows, self.room)
        for row in range(rows):
            self.rows, first = device.enter(
                self.rows,
                np.int32(row),
                logits,
                cache,
                Draws.of(SamplingConfig(), 0),
                Owed.of(),
                np.int32(tokens),
                self.pieces,
                self.nothing_ends,
            )
            self.first = int(first.tokens[0, 0])
        self.written: list[int] = []

    def _read(self) -> tuple[jax.Array, Any]:
        # A new reader: one that has read the prompt would not read it again.
        reader = PromptReader(self.model, self.variables, prompts_are_prefixes=False)
        return reader.read(self.prompt, self.room)

    def prefill(self, steps: int) -> None:
        """Reads the prompt `steps` times."""
        for _ in range(steps):
            jax.block_until_ready(self._read())

    def decode(self, steps: int) -> None:
        """Writes `steps` tokens after the prompt in blocks, each fetched before the next begins."""
        # What the cache holds of the last turn is beyond the text, and written over.
        cache: Any = self.rows.cache
        lengths = jnp.full(self.count, len(self.prompt), jnp.int32)
        self.rows = dataclasses.replace(
            self.rows,
            cache=dataclasses.replace(cache, lengths=lengths),
            tokens=jnp.full(self.count, self.first, jnp.int32),
            left=jnp.full(self.count, steps, jnp.int32),
        )
        self.written = []
        while len(self.written) < steps:
            self.rows, written = device.write(
                self.model,
                self.variables,
                self.rows,
                np.ones(self.count, bool),
                min(device.MOST_TOKENS, steps - len(self.written)),
                self.pieces,
                self.nothing_ends,
            )
            # Fetched before the next block, as a writer has to look whether the text has ended.
            tokens = jax.device_get(written.tokens[0])
            self.written += tokens[tokens != device.NO_TOKEN].tolist()
