"""The configuration of reasoning modules on a foundation."""

import dataclasses

from hrm_jax.core.config import check, field
from hrm_jax.models.kv_cache import CallShape
from hrm_jax.models.llama_config import SMOLLM2_135M, LlamaConfig
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_attention import TextAttention
from hrm_jax.nn.gated_stack import GatedBlockConfig


@dataclasses.dataclass(frozen=True)
class ReasonedConfig:
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
    def vocab_size(self) -> int:
        """V, of the foundation."""
        return self.foundation.vocab_size

    @property
    def compute_dtype(self) -> str:
        """The foundation's dtype of activations."""
        return self.foundation.compute_dtype

    @property
    def attention(self) -> TextAttention:
        """How tokens attend, in the levels as in the foundation."""
        return self.foundation.attention

    @property
    def calls(self) -> tuple[CallShape, ...]:
        """What is kept of the foundation's call, then of each call of the levels."""
        call = CallShape(self.layers_per_level, self.block.num_heads * self.block.head_size)
        return self.foundation.calls + (call,) * self.schedule.num_calls

    @property
    def schedule(self) -> Schedule:
        """Calls of both levels, with gradients truncated as `L_bp_cycles` says."""
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
