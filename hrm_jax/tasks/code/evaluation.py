"""How a model of code is measured: bits per byte of held-out texts, language by language."""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from hrm_jax.core.mesh import replicated, split_batch, with_ambient_mesh
from hrm_jax.core.types import IGNORE_LABEL, TextBatch, Variables
from hrm_jax.data.text.batches import as_text_batch
from hrm_jax.data.text.languages import LANGUAGES
from hrm_jax.losses.token import softmax_cross_entropy
from hrm_jax.models.text_step import TextStep


def bits_per_byte(
    model: TextStep,
    variables: Variables,
    batches: Iterable[Mapping[str, Any]],
    token_bytes: Int[np.ndarray, " V"],
    mesh: Mesh,
) -> dict[str, float]:
    """Bits that the model needs for a byte of text, lower is better.

    Args:
      model: the model, as it is trained.
      variables: its values.
      batches: of `data.text.batches.evaluation_batches`, the same on every process.
      token_bytes: bytes that each token adds to a text.
      mesh: the devices that share each batch.

    Returns:
      `bits_per_byte` over all texts, and `bits_per_byte_<language>` for each language there is.
    """
    sums = np.zeros((len(LANGUAGES) + 1, 2))
    for rows in batches:
        batch, languages = split_batch((as_text_batch(rows), rows["languages"]), mesh)
        found = _sums_over(mesh)(model, variables, batch, languages, jnp.asarray(token_bytes))
        sums += np.asarray(found, np.float64)
    nats, of_bytes = sums.sum(axis=0)
    found = {"bits_per_byte": nats / math.log(2) / of_bytes}
    for name, (nats, of_bytes) in zip(LANGUAGES, sums[:-1], strict=True):
        if of_bytes:
            found[f"bits_per_byte_{name}"] = nats / math.log(2) / of_bytes
    return {name: float(value) for name, value in found.items()}


@functools.cache
def _sums_over(mesh: Mesh) -> Any:
    """`_sums`, with its result on every host."""
    return jax.jit(with_ambient_mesh(_sums, mesh), static_argnums=0, out_shardings=replicated(mesh))


def _sums(
    model: TextStep,
    variables: Variables,
    batch: TextBatch,
    languages: Int[Array, "B T"],
    token_bytes: Int[Array, " V"],
) -> Float[Array, "languages 2"]:
    """Nats and bytes of each language's labels; those of none stand last."""
    outputs = model.step(variables, None, batch)[1]
    counted = outputs.labels != IGNORE_LABEL
    nats = softmax_cross_entropy(outputs.logits, outputs.labels)
    of_bytes = jnp.where(counted, token_bytes[jnp.where(counted, outputs.labels, 0)], 0)
    both = jnp.stack([nats, of_bytes.astype(jnp.float32)], axis=-1)
    places = jnp.where(languages < 0, len(LANGUAGES), languages)
    return jax.ops.segment_sum(both.reshape(-1, 2), places.ravel(), len(LANGUAGES) + 1)
