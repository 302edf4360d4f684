"""HRM's two levels on a foundation model: they refine its last states before its head reads them.

z_H starts as the foundation's normalised states, z_L from a fixed vector; the levels run nested
cycles, and the final z_H is added to the states through a projection that starts at zero. A fresh
model therefore has its foundation's logits, to the bit.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hrm_jax.core.config import configclass, field
from hrm_jax.core.types import Buffer, Latents, Variables
from hrm_jax.models.call_cache import Calls, CallShape
from hrm_jax.models.llama import SMOLLM2_135M, Llama, LlamaConfig, LlamaModule
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_attention import TextAttention
from hrm_jax.models.text_model import TextModel, variables_of
from hrm_jax.models.text_recurrence import movement_over_text, recur_over_text
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.gated_stack import GatedBlockConfig, GatedStack
from hrm_jax.nn.keys import Keys, ParamKeys
from hrm_jax.nn.linear import truncated_normal
from hrm_jax.nn.norm import rms_norm
from hrm_jax.nn.product import product


@configclass
class HrmLlamaConfig:
    """HRM's two levels between a foundation's last block and its head.

    Head size, positions, masks, epsilons and dtypes are the foundation's. No shape depends on the
    number of cycles, so variables of one config fit another with more cycles.

    Raises:
      ConfigError: on construction, for a value out of range.
    """

    type_in_files: ClassVar[str] = "ReasonedConfig"
    """The class's name in the `config.json` of runs, which those of earlier versions have too."""

    foundation: LlamaConfig = SMOLLM2_135M
    freeze_foundation: bool = field(True, help="the foundation is not trained")
    layers_per_level: int = field(2, help="blocks of each level", at_least=1)
    num_heads: int | None = field(
        None, help="attention heads of a level; None: the foundation's", at_least=1
    )
    mlp_width: int | None = field(
        None, help="SwiGLU width of a level; None: the foundation's", at_least=1
    )
    H_cycles: int = field(2, help="cycles, each ending in one slow call", at_least=1)
    L_cycles: int = field(2, help="fast calls in a cycle", at_least=1)
    L_bp_cycles: tuple[int, ...] = field(
        (2,),
        help="fast calls of each cycle that carry gradient; padded with ones on the left",
        at_least=0,
        remedy="0 lets no call of a cycle carry gradient",
    )

    @property
    def vocab_size(self) -> int:
        """V, of the foundation."""
        return self.foundation.vocab_size

    @property
    def compute_dtype(self) -> str:
        """The foundation's dtype of activations."""
        return self.foundation.compute_dtype

    @property
    def attention(self) -> TextAttention:
        """Settings of attention, the same in the levels and in the foundation."""
        return self.foundation.attention

    @property
    def calls(self) -> tuple[CallShape, ...]:
        """Size of the foundation's cached call, then of each call of the levels."""
        # A level's heads are not grouped, so keys and values of each are kept.
        call = CallShape(self.layers_per_level, self.block.num_heads * self.block.head_size)
        return self.foundation.calls + (call,) * self.schedule.num_calls

    @property
    def schedule(self) -> Schedule:
        """Calls of both levels, with gradients truncated as `L_bp_cycles` says."""
        return Schedule.from_L_bp_cycles(self.H_cycles, self.L_cycles, self.L_bp_cycles)

    @property
    def block(self) -> GatedBlockConfig:
        """Configuration of every block of the levels."""
        return GatedBlockConfig(
            features=self.foundation.hidden_size,
            num_heads=self.num_heads or self.foundation.num_heads,
            head_size=self.foundation.head_size,
            width=self.mlp_width or self.foundation.mlp_width,
            norm_eps=self.foundation.rms_norm_eps,
        )


FOUNDATION = "foundation"
REASONING = "reasoning"
"""Names of the two parts of parameters and buffers, in checkpoints too."""


class RefiningLevels(nnx.Module):
    """The two levels, and the projection that adds their result to a foundation's states."""

    def __init__(self, config: HrmLlamaConfig, *, rngs: Keys):
        """Draws the levels and the low level's initial state; the projection starts at zero."""
        D = config.foundation.hidden_size
        self.config = config
        self.H_module = GatedStack(config.block, config.layers_per_level, rngs=rngs)
        self.L_module = GatedStack(config.block, config.layers_per_level, rngs=rngs)
        self.z_L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))
        # Zero, so that a fresh model computes its foundation's logits exactly.
        self.refinement = nnx.Param(jnp.zeros((D, D), jnp.float32), axes=("heads", "embed"))

    def __call__(
        self,
        hidden: Float[Array, "B T D"],
        schedule: Schedule,
        attend: Attend,
        memory: Sequence[Any] | None = None,
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """Returns the refined states, and each call's slots, as `TextModule.think` does."""
        latents, calls = recur_over_text(
            schedule, self.H_module, self.L_module, self.initial_latents(hidden), attend, memory
        )
        # Added to what the foundation says, whose head then reads both.
        return hidden + product(latents.z_H, self.refinement[...]), calls

    def initial_latents(self, hidden: Float[Array, "B T D"]) -> Latents:
        """Returns z_H, a foundation's states, and z_L, the same vector at every token."""
        # Normalised as the levels' own results are; a foundation's states may have any size.
        z_H = rms_norm(hidden, eps=self.config.block.norm_eps)
        z_L = jnp.broadcast_to(self.z_L_init[...].astype(hidden.dtype)[None, None], hidden.shape)
        return Latents(z_H, z_L)


class HrmLlamaModule(nnx.Module):
    """Parameters of the foundation and of the levels, named `FOUNDATION` and `REASONING`."""

    def __init__(self, config: HrmLlamaConfig, *, rngs: Keys):
        """Draws both parts."""
        self.config = config
        self.foundation = LlamaModule(config.foundation, rngs=rngs)
        self.reasoning = RefiningLevels(config, rngs=rngs)

    def think(
        self,
        tokens: Int[Array, "B T"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
        schedule: Schedule | None = None,
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """Returns the refined states, and the slots: the foundation's call is the first.

        See `TextModule.think`.
        """
        # The foundation makes the first call, the levels make all others.
        foundation_memory = None if memory is None else memory[:1]
        levels_memory = None if memory is None else memory[1:]
        hidden, read = self.foundation.think(tokens, attend, foundation_memory)
        hidden, thought = self.reasoning(
            hidden, schedule or self.config.schedule, attend, levels_memory
        )
        return hidden, read + thought

    def movement(
        self, tokens: Int[Array, "B T"], attend: Attend
    ) -> tuple[Float[Array, "calls B T"], Float[Array, "calls B T"]]:
        """Returns how far each call moves its level's state; see `movement_over_text`."""
        hidden, _ = self.foundation.think(tokens, attend)
        levels = self.reasoning
        latents = levels.initial_latents(hidden)
        schedule = self.config.schedule
        return movement_over_text(schedule, levels.H_module, levels.L_module, latents, attend)

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the logits of the next token, in the compute dtype."""
        return self.foundation.read(hidden)


class HrmLlama(TextModel[HrmLlamaConfig]):
    """A foundation with refining levels, as pure functions of their variables.

    Parameters and buffers have two parts, `FOUNDATION` and `REASONING`. The parameters of a frozen
    foundation are buffers, of which no gradient is taken and which no optimiser updates.
    """

    def module(self, rngs: Keys) -> HrmLlamaModule:
        """Returns a module with freshly drawn parameters of both parts."""
        return HrmLlamaModule(self.config, rngs=rngs)

    @property
    def foundation(self) -> Llama:
        """The model below the levels."""
        return Llama(self.config.foundation)

    def with_cycles(self, H_cycles: int) -> "HrmLlama":
        """Returns this model with `H_cycles` cycles, for which the same variables serve."""
        return HrmLlama(dataclasses.replace(self.config, H_cycles=H_cycles))

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables, the foundation's included, float32."""
        # Not through `module`: the levels must be drawn as `init_reasoning` draws them for a
        # pretrained foundation, so that equal keys give equal levels.
        # Another key than that of the levels, which draw from `key` itself.
        foundation = self.foundation.init(jax.random.fold_in(key, 1))
        return self.join(self.init_reasoning(key), foundation)

    def init_reasoning(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables of the levels alone, float32."""
        return variables_of(RefiningLevels(self.config, rngs=ParamKeys(key)))

    def join(self, reasoning: Variables, foundation: Variables) -> Variables:
        """Returns the model's variables, made of those of its two parts without copying."""
        params = {REASONING: reasoning.params}
        buffers = {REASONING: reasoning.buffers}
        # Buffers are saved but not differentiated, so freezing needs no mask in the optimiser.
        home = buffers if self.config.freeze_foundation else params
        home[FOUNDATION] = foundation.params
        return Variables(_as_one(params), _as_one(buffers), None)

    def parts(self, variables: Variables) -> tuple[Variables, Variables]:
        """Returns the variables of the levels and of the foundation: the inverse of `join`."""
        params = variables.params
        buffers = variables.buffers
        home = buffers if self.config.freeze_foundation else params
        return (
            Variables(params[REASONING], buffers[REASONING], None),
            Variables(home[FOUNDATION], nnx.State({}), None),
        )


def _as_one(parts: Mapping[str, nnx.State]) -> nnx.State:
    """Returns one state that holds the parts under their names."""
    # Paths get the part's name in front, which is how checkpoints tell the parts apart.
    flat = ((name, nnx.to_flat_state(state)) for name, state in parts.items())
    return nnx.from_flat_state([((name, *path), leaf) for name, s in flat for path, leaf in s])
