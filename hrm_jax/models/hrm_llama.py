"""HRM's two levels on a foundation: they refine its last states before its head reads them.

z_H starts as the foundation's states, normalised, z_L from a fixed vector; the levels think in
nested cycles, and what z_H has become is added to the states through a projection that starts at
zero. So a fresh model says what its foundation says, to the bit, whatever the levels do.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hrm_jax.core.config import check, field
from hrm_jax.core.types import Buffer, Latents, Variables
from hrm_jax.models import text
from hrm_jax.models.call_cache import CallCache, CallShape
from hrm_jax.models.llama import SMOLLM2_135M, Llama, LlamaConfig, LlamaModule
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_recurrence import recur_over_text
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.gated_stack import GatedBlockConfig, GatedStack
from hrm_jax.nn.linear import truncated_normal
from hrm_jax.nn.norm import rms_norm
from hrm_jax.nn.product import product


@dataclasses.dataclass(frozen=True)
class HrmLlamaConfig:
    """HRM's two levels between a foundation's last block and its head.

    Head size, positions, masks, epsilons and dtypes are the foundation's. The cycles are no part of
    any shape: variables of one config are variables of another with more cycles.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    foundation: LlamaConfig = SMOLLM2_135M
    freeze_foundation: bool = field(True, help="the foundation is not trained")
    layers_per_level: int = field(2, help="blocks of each level")
    num_heads: int | None = field(None, help="attention heads of a level; None: the foundation's")
    mlp_width: int | None = field(None, help="SwiGLU width of a level; None: the foundation's")
    H_cycles: int = field(2, help="cycles, each ending in one slow call")
    L_cycles: int = field(2, help="fast calls in a cycle")
    L_bp_cycles: tuple[int, ...] = field(
        (2,), help="fast calls of each cycle that carry gradient; padded with ones on the left"
    )

    def __post_init__(self):
        """Validates the fields."""
        for name in ("layers_per_level", "H_cycles", "L_cycles", "num_heads", "mlp_width"):
            value = getattr(self, name)
            good = value is None or value > 0
            check(good, name, expected="a positive number", got=value, remedy="set one")
        check(
            min(self.L_bp_cycles, default=0) >= 0,
            "L_bp_cycles",
            expected="numbers of calls, 0 or more",
            got=self.L_bp_cycles,
            remedy="0 lets no call of a cycle carry gradient",
        )

    @property
    def schedule(self) -> Schedule:
        """Calls of both levels, with the gradient border of `L_bp_cycles`."""
        return Schedule.from_L_bp_cycles(self.H_cycles, self.L_cycles, self.L_bp_cycles)

    @property
    def block(self) -> GatedBlockConfig:
        """Shape of every block of the levels."""
        return GatedBlockConfig(
            features=self.foundation.hidden_size,
            num_heads=self.num_heads or self.foundation.num_heads,
            head_size=self.foundation.head_size,
            width=self.mlp_width or self.foundation.mlp_width,
            norm_eps=self.foundation.rms_norm_eps,
        )


FOUNDATION, REASONING = "foundation", "reasoning"
"""The two parts of parameters and buffers, by name."""


class RefiningLevels(nnx.Module):
    """The two levels, and how they take states and give them back."""

    def __init__(self, config: HrmLlamaConfig, *, rngs: nnx.Rngs):
        """Draws the levels and the low level's initial state; the projection back is zero."""
        D = config.foundation.hidden_size
        self.config = config
        self.H_module = GatedStack(config.block, config.layers_per_level, rngs=rngs)
        self.L_module = GatedStack(config.block, config.layers_per_level, rngs=rngs)
        self.z_L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))
        self.refinement = nnx.Param(jnp.zeros((D, D), jnp.float32), axes=("heads", "embed"))

    def __call__(
        self,
        hidden: Float[Array, "B T D"],
        schedule: Schedule,
        attend: Attend,
        memory: Sequence[Any] | None = None,
    ) -> tuple[Float[Array, "B T D"], text.Calls]:
        """The refined states, and each call's slots, as `text.TextModule` has them."""
        z_H = rms_norm(hidden, eps=self.config.block.norm_eps)
        z_L = jnp.broadcast_to(self.z_L_init[...].astype(hidden.dtype)[None, None], hidden.shape)
        levels = self.H_module, self.L_module
        latents, calls = recur_over_text(schedule, *levels, Latents(z_H, z_L), attend, memory)
        return hidden + product(latents.z_H, self.refinement[...]), calls


@dataclasses.dataclass(frozen=True)
class HrmLlamaModule:
    """Foundation and levels with their values in them, as one `text.TextModule`.

    Attributes:
      foundation: what reads and writes.
      reasoning: what thinks between.
      schedule: the numbers of calls and the gradient border.
    """

    foundation: LlamaModule
    reasoning: Reasoning
    schedule: Schedule

    def think(
        self, tokens: Int[Array, "B T"], attend: Attend, memory: Sequence[Any] | None = None
    ) -> tuple[Float[Array, "B T D"], text.Calls]:
        """The refined states; the foundation's call is the first."""
        first, others = (None, None) if memory is None else (memory[:1], memory[1:])
        hidden, read = self.foundation.think(tokens, attend, first)
        hidden, thought = self.reasoning(hidden, self.schedule, attend, others)
        return hidden, read + thought

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Logits of the next token, in the compute dtype."""
        return self.foundation.read(hidden)


@dataclasses.dataclass(frozen=True)
class HrmLlama:
    """A foundation with reasoning modules as pure functions of their variables.

    Parameters and buffers have two parts, `FOUNDATION` and `REASONING`. A frozen foundation's
    parameters are buffers, which no optimiser sees and no gradient is taken of.

    Hashable and equal by configuration, so that it can be a static argument of `jit`.
    """

    config: HrmLlamaConfig

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.config.foundation.vocab_size

    @property
    def foundation(self) -> Llama:
        """The model that this one stands on."""
        return Llama(self.config.foundation)

    def with_cycles(self, H_cycles: int) -> "HrmLlama":
        """The same model thinking for `H_cycles` cycles, with the same variables."""
        return HrmLlama(dataclasses.replace(self.config, H_cycles=H_cycles))

    def init(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables, the foundation's included, float32."""
        return self.join(self.init_reasoning(key), self.foundation.init(jax.random.fold_in(key, 1)))

    def init_reasoning(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables of the reasoning modules alone, float32."""
        module = RefiningLevels(self.config, rngs=nnx.Rngs(params=key))
        _, params, buffers = nnx.split(module, nnx.Param, Buffer)
        return Variables(params, buffers, None)

    def join(self, reasoning: Variables, foundation: Variables) -> Variables:
        """The model's variables of those of its parts, which are not copied."""
        params, buffers = {REASONING: reasoning.params}, {REASONING: reasoning.buffers}
        (buffers if self.config.freeze_foundation else params)[FOUNDATION] = foundation.params
        return Variables(_as_one(params), _as_one(buffers), None)

    def parts(self, variables: Variables) -> tuple[Variables, Variables]:
        """The inverse of `join`: the variables of the reasoning modules, and the foundation's."""
        params, buffers = variables.params, variables.buffers
        home = buffers if self.config.freeze_foundation else params
        return (
            Variables(params[REASONING], buffers[REASONING], None),
            Variables(home[FOUNDATION], nnx.State({}), None),
        )

    def logits(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        token_types: Int[Array, "B T"] | None = None,
        segment_ids: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
        schedule: Schedule | None = None,
    ) -> Float[Array, "B T V"]:
        """Scores of the token after each one, in the compute dtype.

        Args:
          variables: the model's values.
          tokens: the texts, int32.
          token_types: as `Llama.logits` has them; so are `segment_ids` and `lengths`.
          segment_ids: of texts packed into a row.
          lengths: tokens of each row.
          schedule: calls and gradient border in place of the config's (static).
        """
        module = self._bind(variables, schedule)
        attend = self.foundation.attention.whole(tokens.shape[1], token_types, segment_ids, lengths)
        return module.read(module.think(tokens, attend)[0])

    def empty_cache(self, B: int, room: int) -> CallCache:
        """A cache without tokens, for a batch of B with room for `room` tokens in each row."""
        block = self.config.block
        call = CallShape(self.config.layers_per_level, block.num_heads * block.head_size)
        calls = [self.foundation.call, *[call] * self.config.schedule.num_calls]
        return CallCache.empty(calls, B, room, self.config.foundation.compute_dtype)

    def prefill(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        room: int,
        token_types: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
    ) -> tuple[Float[Array, "B V"], CallCache]:
        """Reads prompts, as `logits` does, and keeps what decoding needs: `text.prefill`."""
        module, attention = self._bind(variables), self.foundation.attention
        calls, masks = 1 + self.config.schedule.num_calls, (token_types, lengths)
        return text.prefill(module, attention, calls, tokens, *masks, room=room)

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: CallCache
    ) -> tuple[Float[Array, "B T V"], CallCache]:
        """Reads T more tokens of every row, causally: `text.decode`."""
        return text.decode(self._bind(variables), self.foundation.attention, tokens, cache)

    def _bind(self, variables: Variables, schedule: Schedule | None = None) -> HrmLlamaModule:
        """The modules holding these values."""
        own, foundation = self.parts(variables)
        return HrmLlamaModule(
            self.foundation.bind(foundation),
            nnx.merge(_graphdef(self.config), own.params, own.buffers),
            schedule or self.config.schedule,
        )


def _as_one(parts: Mapping[str, nnx.State]) -> nnx.State:
    """The state that has the parts under their names."""
    flat = ((name, nnx.to_flat_state(state)) for name, state in parts.items())
    return nnx.from_flat_state([((name, *path), leaf) for name, s in flat for path, leaf in s])


@functools.cache
def _graphdef(config: HrmLlamaConfig) -> nnx.GraphDef:
    """The reasoning modules' structure without their values."""
    return nnx.graphdef(nnx.eval_shape(lambda: RefiningLevels(config, rngs=nnx.Rngs(0))))
