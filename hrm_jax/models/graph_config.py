"""The configuration of HRM over the nodes of graphs."""

from hrm_jax.core.config import check, configclass, field
from hrm_jax.models.recurrence import Schedule
from hrm_jax.nn.block import BlockConfig


@configclass
class GraphModelConfig:
    """Sizes and schedule. Nothing in it depends on how many nodes or edges a graph has."""

    features: int = field(help="numbers known of each node", at_least=1)
    outputs: int = field(help="numbers said of each node", at_least=1)
    relations: tuple[str, ...] = field(help="names of what nodes have to do", nonempty=True)
    hidden_size: int = field(32, help="D", at_least=1)
    expansion: float = field(3.0, help="SwiGLU width over hidden size", more_than=0)
    mlp_multiple: int = field(16, help="the SwiGLU's width is a multiple of it", at_least=1)
    H_layers: int = field(1, help="blocks of the slow level", at_least=1)
    L_layers: int = field(1, help="blocks of the fast level", at_least=1)
    H_cycles: int = field(1, help="cycles, each ending in one slow call", at_least=1)
    L_cycles: int = field(4, help="fast calls in a cycle", at_least=1)
    steps: int = field(3, help="steps of thought about one graph", at_least=1)
    rms_norm_eps: float = field(1e-5, help="epsilon of the RMS norms", more_than=0)

    def __post_init__(self):
        """Raises ConfigError where a relation is named twice."""
        once = len(set(self.relations)) == len(self.relations)
        check(once, "relations", expected="each once", got=self.relations, remedy="drop one")

    @property
    def schedule(self) -> Schedule:
        """Calls of both levels; the last cycle carries gradient."""
        return Schedule(self.H_cycles, self.L_cycles, (self.L_cycles,))

    @property
    def block(self) -> BlockConfig:
        """Every block's configuration."""
        return BlockConfig(
            features=self.hidden_size,
            num_heads=1,
            expansion=self.expansion,
            length=0,
            mixing="edges",
            rope_theta=None,
            norm_eps=self.rms_norm_eps,
            mlp_multiple=self.mlp_multiple,
            relations=self.relations,
        )
