"""Bits per byte of held-out texts, language by language."""

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
from hrm_jax.core.texts import TextBatch
from hrm_jax.core.types import IGNORE_LABEL, Variables
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
    """Returns the bits that the model needs for a byte of text; lower is better.

    Args:
      model: the model, as it is trained.
      variables: its values.
      batches: of `data.text.batches.evaluation_batches`, the same on every process.
      token_bytes: bytes that each token adds to a text.
      mesh: the devices that share each batch.

    Returns:
      `bits_per_byte` over all texts, and `bits_per_byte_<language>` for each language there is.
    """
    # Summed in float64 on the host: float32 would lose small batches in large sums. The last row is
    # for texts in no language.
    sums = np.zeros((len(LANGUAGES) + 1, 2))
    for rows in batches:
        # Every process has the whole batch; `split_batch` places each device's rows.
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
    """Returns `_sums` compiled for a mesh, with its result on every host.

    It is cached, as a new `jax.jit` would compile again at every evaluation.
    """
    return jax.jit(with_ambient_mesh(_sums, mesh), static_argnums=0, out_shardings=replicated(mesh))


def _sums(
    model: TextStep,
    variables: Variables,
    batch: TextBatch,
    languages: Int[Array, "B T"],
    token_bytes: Int[Array, " V"],
) -> Float[Array, "languages 2"]:
    """Returns nats and bytes of each language's labels, float32 [languages + 1, 2].

    The last row is of labels whose text is in no language.
    """
    outputs = model.think(variables, batch)[1]
    counted = outputs.labels != IGNORE_LABEL
    nats = softmax_cross_entropy(outputs.logits, outputs.labels)
    # Ignored labels are negative, and would index from the end; they are looked up as token 0 and
    # masked.
    of_bytes = jnp.where(counted, token_bytes[jnp.where(counted, outputs.labels, 0)], 0)
    both = jnp.stack([nats, of_bytes.astype(jnp.float32)], axis=-1)
    # `segment_sum` drops negative segments, but these have to count in the total.
    places = jnp.where(languages < 0, len(LANGUAGES), languages)
    return jax.ops.segment_sum(both.reshape(-1, 2), places.ravel(), len(LANGUAGES) + 1)
