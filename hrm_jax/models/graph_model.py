"""HRM over the nodes of graphs: the recurrence of `recurrence`, mixing along given edges.

Where `puzzle_model` has one grid of candidates for all puzzles, every graph of a batch brings its
own nodes and relations. Each is thought about for a fixed number of steps; then the next one of the
batch takes its place, as in `puzzle_model`.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from hrm_jax.core.graphs import GraphBatch, GraphOutputs
from hrm_jax.core.types import Buffer, Carry, Latents, Variables
from hrm_jax.models.graph_config import GraphModelConfig
from hrm_jax.models.levels import as_level
from hrm_jax.models.recurrence import recur
from hrm_jax.nn.block import BlockStack
from hrm_jax.nn.keys import Keys, ParamKeys
from hrm_jax.nn.linear import Linear, truncated_normal


class GraphModule(nnx.Module):
    """One step: from latents and graphs to new latents and what is said of each node."""

    def __init__(self, config: GraphModelConfig, *, rngs: Keys):
        """Draws parameters and initial states."""
        D = config.hidden_size
        self.config = config
        self.embed = Linear(config.features, D, axes=(None, "embed"), use_bias=True, rngs=rngs)
        self.H_level = BlockStack(config.block, config.H_layers, rngs=rngs)
        self.L_level = BlockStack(config.block, config.L_layers, rngs=rngs)
        self.head = Linear(D, config.outputs, axes=("embed", None), use_bias=True, rngs=rngs)
        self.H_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))
        self.L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))

    def initial_latents(self, shape: tuple[int, int]) -> Latents:
        """Returns the initial states of `shape` [B, L]."""
        whole = (*shape, self.config.hidden_size)
        return Latents(*(jnp.broadcast_to(i[...], whole) for i in (self.H_init, self.L_init)))

    def __call__(
        self, latents: Latents, batch: GraphBatch
    ) -> tuple[Latents, Float[Array, "B L outputs"]]:
        """Runs all cycles of one step; returns the new states and the outputs."""
        injection = self.embed(batch.features)
        high = as_level(self.H_level, batch.relations)
        low = as_level(self.L_level, batch.relations)
        latents = recur(self.config.schedule, high, low, latents, injection)
        return latents, self.head(latents.z_H)


@dataclasses.dataclass(frozen=True)
class GraphModel:
    """Pure functions of the model's variables; hashable, a static argument of `jit`."""

    config: GraphModelConfig

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables, float32; the same key gives the same values."""
        module = GraphModule(self.config, rngs=ParamKeys(key))
        _, params, buffers, _ = nnx.split(module, nnx.Param, Buffer, ...)
        return Variables(params, buffers, None)

    def initial_carry(self, variables: Variables, batch: GraphBatch) -> Carry:
        """Returns a carry of graphs without nodes, which end one after another.

        So each step of training takes new graphs for some of the rows.
        """
        B, L, _ = batch.features.shape
        blank: Any = jax.tree.map(jnp.zeros_like, batch)
        latents = self._bind(variables).initial_latents((B, L))
        steps = jnp.arange(B, dtype=jnp.int32) % self.config.steps
        return Carry(latents, steps, steps == 0, blank)

    def begin(
        self, variables: Variables, carry: Carry, batch: GraphBatch, *, key: PRNGKeyArray
    ) -> tuple[Carry, None]:
        """Returns the carry with new graphs for those that are done, and no draws.

        Args:
          variables: the model's values; no trained parameter is read.
          carry: what the last step returned, or `initial_carry`.
          batch: the next graphs.
          key: not used; nothing is random.
        """
        del key
        module = self._bind(variables)
        data: Any = batch
        initial = module.initial_latents(batch.present.shape)  # pyright: ignore[reportArgumentType]
        return carry.restart(carry.halted, initial, data), None

    def think(
        self,
        variables: Variables,
        carry: Carry,
        *,
        draws: None = None,
        row_offsets: Float[Array, "B E"] | None = None,
    ) -> tuple[Carry, GraphOutputs]:
        """Takes one step of thought with each graph.

        Args:
          variables: the model's values.
          carry: what `begin` returned, or some rows of it.
          draws: not used; nothing is random.
          row_offsets: not used; there are no puzzle rows.

        Returns:
          The new carry, without gradient, and the outputs.
        """
        del draws, row_offsets
        graphs: Any = carry.data
        latents, nodes = self._bind(variables)(carry.latents, graphs)
        steps = carry.steps + 1
        # Truncated backpropagation through time: no gradient crosses from one step to the next.
        latents = jax.lax.stop_gradient(latents)
        return Carry(latents, steps, steps >= self.config.steps, carry.data), GraphOutputs(nodes)

    def answer(self, variables: Variables, batch: GraphBatch) -> GraphOutputs:
        """Returns what is said after all steps of thought about each graph."""
        module = self._bind(variables)
        shape: Any = batch.present.shape
        latents = module.initial_latents(shape)

        def think(latents: Latents, _) -> tuple[Latents, None]:
            return module(latents, batch)[0], None

        # Only states are carried, so the outputs of all steps but the last are never computed.
        latents, _ = jax.lax.scan(think, latents, length=self.config.steps)
        return GraphOutputs(module.head(latents.z_H))

    def _bind(self, variables: Variables) -> GraphModule:
        return nnx.merge(_graphdef(self.config), variables.params, variables.buffers)


@functools.cache
def _graphdef(config: GraphModelConfig) -> nnx.GraphDef:
    # Traced once for each config; no values are drawn.
    return nnx.graphdef(
        nnx.eval_shape(lambda: GraphModule(config, rngs=ParamKeys(jax.random.key(0))))
    )
