"""The configuration of reasoning modules on a foundation."""

from hrm_jax.core.config import configclass, field
from hrm_jax.models.llama_config import SMOLLM2_135M, LlamaConfig
from hrm_jax.models.recurrence import Schedule
from hrm_jax.nn.gated_stack import GatedBlockConfig


@configclass
class ReasonedConfig:
    """HRM's two levels between a foundation's last block and its head.

    Head size, positions, masks, epsilons and dtypes are the foundation's. The cycles are no part of
    any shape: variables of one config are variables of another with more cycles.

    Raises:
      ConfigError: on construction, for a value out of range.
    """

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
