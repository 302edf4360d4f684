"""A model whose every proposal is known beforehand, for tests of what runs models.

A puzzle is [due, payload, 0]: in step s the proposal is [s, payload + row, draw], where `row` is
the puzzle's identifier and `draw` tells how noise changed the initial state (0 without noise). The
halting head is sure from step `due` on, and surer with a greater payload.
"""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.types import Batch, Carry, Latents, Outputs, Variables

V = 64
VARIABLES = Variables({}, {}, None)
TRACES: list[tuple[int, ...]] = []
"""Shapes of the inputs of every step that was traced."""
STEPS: list[int] = []
"""Batch size of every step that a counted model ran."""


@dataclasses.dataclass(frozen=True)
class Clockwork:
    """Implements `core.protocols.ThinkingModel`."""

    config = types.SimpleNamespace(distribution="softmax")

    counted: bool = False

    def initial_carry(self, variables: Variables, batch: Batch) -> Carry:
        B = len(batch.inputs)
        state = jnp.zeros((B, 1, 1))
        return Carry(
            latents=Latents(state, state),
            steps=jnp.zeros(B, jnp.int32),
            halted=jnp.ones(B, bool),
            data=jax.tree.map(jnp.zeros_like, batch),
        )

    def wants_to_halt(self, outputs):
        return outputs.q_halt_logits > 0

    def think(self, variables, carry):
        TRACES.append(carry.data.inputs.shape)
        if self.counted:
            jax.debug.callback(lambda: STEPS.append(len(carry.steps)))
        z_H = carry.latents.z_H + 1
        z_L = carry.latents.z_L
        data = carry.data
        steps = carry.steps + 1
        # A slot that is used though it has halted would show: its proposals are all zero.
        counted = jnp.where(carry.halted, 0, jnp.round(z_H[:, 0, 0])).astype(jnp.int32)
        payload = data.inputs[:, 1] + data.puzzle_identifiers
        draw = jnp.clip(jnp.abs(jnp.round(10 * z_L[:, 0, 0])), 0, V - 1).astype(jnp.int32)
        logits = jax.nn.one_hot(jnp.stack([counted % V, payload, draw], 1), V)
        sure = steps >= data.inputs[:, 0]
        q = jnp.where(sure, 1.0 + 0.1 * payload, -1.0)
        halted = jnp.zeros_like(carry.halted)  # as if its own limit were far away
        return Carry(Latents(z_H, z_L), steps, halted, data), Outputs(
            logits, q, jnp.zeros_like(q), None
        )


def verify(inputs, tokens):
    """The step at which the puzzle is due has come; never for due = 0."""
    return (tokens[:, 0] >= inputs[:, 0]) & (inputs[:, 0] > 0)


def puzzles(due) -> np.ndarray:
    """Puzzles due at these steps, with payloads 1, 2, 3, ... (modulo 20)."""
    due = np.asarray(due)
    payload = np.arange(len(due)) % 20 + 1
    return np.stack([due, payload, np.zeros_like(due)], 1).astype(np.uint8)
