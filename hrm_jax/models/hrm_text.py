"""HRM-Text: the two levels as stacks of gated pre-norm blocks over text.

The text is embedded into z_H, z_L starts from a fixed vector, the levels think in nested cycles,
and z_H is read out at every token. Equal to transformers' `HrmTextForCausalLM` (5.23).
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.types import Buffer, Latents
from hrm_jax.models.call_cache import Calls, CallShape
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.special_tokens import check_tokens
from hrm_jax.models.text_attention import TextAttention
from hrm_jax.models.text_model import TextModel
from hrm_jax.models.text_recurrence import movement_over_text, recur_over_text
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.embedding import Embedding
from hrm_jax.nn.gated_stack import GatedBlockConfig, GatedStack
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import Linear, truncated_normal
from hrm_jax.nn.swiglu import swiglu_width


@configclass
class HrmTextConfig:
    """HRM-Text. The defaults are the published size B; `hrm_text` has the others by name.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    vocab_size: int = field(65536, help="V: tokens known", at_least=1)
    hidden_size: int = field(1024, help="D", at_least=1)
    num_heads: int = field(8, help="N: attention heads", at_least=1)
    head_size: int = field(
        128, help="K", at_least=2, multiple_of=2, remedy="rotation turns pairs; change head_size"
    )
    mlp_width: int = field(2816, help="F: width of the SwiGLU", at_least=1)
    layers_per_stack: int = field(6, help="blocks of each level", at_least=1)
    H_cycles: int = field(2, help="cycles, each ending in one slow call", at_least=1)
    L_cycles: int = field(3, help="fast calls in a cycle", at_least=1)
    L_bp_cycles: tuple[int, ...] = field(
        (2,),
        help="fast calls of each cycle that carry gradient; padded with ones on the left",
        at_least=0,
        remedy="0 lets no call of a cycle carry gradient",
    )
    prefix_lm: bool = field(True, help="tokens of a prefix see each other; if not, all is causal")
    tie_embeddings: bool = field(False, help="the head reads the embedding's own table")
    initializer_range: float | None = field(
        None,
        help="standard deviation of fresh embeddings; None or 0 for 1 / sqrt(hidden_size)",
        at_least=0,
    )
    embedding_scale: float | None = field(
        None, help="factor on the embeddings; None or 0 for 1 / initializer_range", at_least=0
    )
    rope_theta: float = field(1e4, help="base of the rotary positions", more_than=0)
    rms_norm_eps: float = field(1e-6, help="epsilon of the RMS norms", more_than=0)
    max_length: int = field(
        4096, help="longest text the model is meant for; nothing depends on it", at_least=1
    )
    pad_token: int | None = field(None, help="token whose embedding gets no gradient")
    bos_token: int | None = field(None, help="token that begins a text; for generation")
    eos_tokens: tuple[int, ...] = field((), help="tokens that end one; for generation")
    compute_dtype: Literal["float32", "bfloat16"] = field("float32", help="dtype of activations")
    attention_backend: Literal["auto", "xla", "tpu", "gpu", "interpret"] = field(
        "auto", help="attention kernels; interpret runs the TPU's on any machine, slowly"
    )

    def __post_init__(self):
        """Raises ConfigError where the fields do not fit together."""
        check(
            self.hidden_size % self.num_heads == 0,
            "num_heads",
            expected=f"a divisor of hidden_size={self.hidden_size}, as transformers asks for",
            got=self.num_heads,
            remedy="change num_heads or hidden_size; head_size may be any even number",
        )
        check_tokens(
            self.vocab_size, self.eos_tokens, pad_token=self.pad_token, bos_token=self.bos_token
        )

    @property
    def embedding_std(self) -> float:
        """Standard deviation of fresh embeddings."""
        return self.initializer_range or self.hidden_size**-0.5

    @property
    def input_scale(self) -> float:
        """Factor on the embeddings."""
        return self.embedding_scale or 1 / self.embedding_std

    @property
    def schedule(self) -> Schedule:
        """Calls of both levels, with gradients truncated as `L_bp_cycles` says."""
        return Schedule.from_L_bp_cycles(self.H_cycles, self.L_cycles, self.L_bp_cycles)

    @property
    def attention(self) -> TextAttention:
        """Settings of attention, the same in every block and call."""
        return TextAttention(
            head_size=self.head_size,
            rope_theta=self.rope_theta,
            prefix_lm=self.prefix_lm,
            backend=self.attention_backend,
        )

    @property
    def calls(self) -> tuple[CallShape, ...]:
        """Size of what is cached for each call; both levels have the same."""
        # Each call keeps keys of its own, as it sees its tokens in another state.
        call = CallShape(self.layers_per_stack, self.num_heads * self.head_size)
        return (call,) * self.schedule.num_calls

    @property
    def block(self) -> GatedBlockConfig:
        """Configuration of every block."""
        return GatedBlockConfig(
            features=self.hidden_size,
            num_heads=self.num_heads,
            head_size=self.head_size,
            width=self.mlp_width,
            norm_eps=self.rms_norm_eps,
        )


_EXPANSION = 4.0
_SIZES = {  # layers of each level, D, N
    "nano": (2, 192, 3),
    "micro": (4, 384, 6),
    "B": (6, 1024, 8),
    "L": (12, 1280, 10),
    "XL": (16, 1536, 12),
}
SIZES = tuple(_SIZES)
"""`B`, `L` and `XL` are published; `nano` and `micro`, for CPU, have heads of 64 and 512 tokens."""


def hrm_text(size: str, **fields) -> HrmTextConfig:
    """Returns HRM-Text of a size in `SIZES`, with `fields` changed.

    Raises:
      ConfigError: if there is no such size, or the fields do not fit together.
    """
    check(size in SIZES, "size", expected=f"one of {SIZES}", got=size, remedy="choose one")
    layers, D, N = _SIZES[size]
    own = {
        "layers_per_stack": layers,
        "hidden_size": D,
        "num_heads": N,
        "head_size": D // N,
        "mlp_width": swiglu_width(D, _EXPANSION),
    }
    if size in ("nano", "micro"):
        own |= {"vocab_size": 512, "max_length": 1024}
    return HrmTextConfig(**{**own, **fields})


class HrmTextModule(nnx.Module):
    """Parameters of HRM-Text, its embedding into the cycles, and its head."""

    def __init__(self, config: HrmTextConfig, *, rngs: Keys):
        """Draws parameters and the low level's initial state."""
        V = config.vocab_size
        D = config.hidden_size
        self.config = config
        # Named as in the published weights, which are loaded by these paths.
        self.embed_tokens = Embedding(V, D, std=config.embedding_std, rngs=rngs)
        self.H_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        self.L_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        if not config.tie_embeddings:
            self.lm_head = Linear(D, V, axes=("embed", None), rngs=rngs)
        self.z_L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))

    def initial_latents(self, tokens: Int[Array, "B T"]) -> Latents:
        """Returns z_H, the scaled embeddings, and z_L, the same vector at every token."""
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        embedded = self.embed_tokens(tokens, dtype)
        if config.pad_token is not None:
            # PyTorch's `padding_idx`, with which the originals were trained: the padding token
            # keeps its embedding and gets no gradient through it.
            is_pad = (tokens == config.pad_token)[..., None]
            embedded = jnp.where(is_pad, jax.lax.stop_gradient(embedded), embedded)
        # By default the scale is 1 / embedding_std, which gives fresh embeddings unit variance.
        z_H = config.input_scale * embedded
        z_L = jnp.broadcast_to(self.z_L_init[...].astype(dtype)[None, None], z_H.shape)
        return Latents(z_H, z_L)

    def think(
        self,
        tokens: Int[Array, "B T"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
        schedule: Schedule | None = None,
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """Returns z_H after all cycles; see `TextModule.think`."""
        # The embedding enters once, as z_H; no call adds it again.
        latents, calls = recur_over_text(
            schedule or self.config.schedule,
            self.H_module,
            self.L_module,
            self.initial_latents(tokens),
            attend,
            memory,
        )
        return latents.z_H, calls

    def movement(
        self, tokens: Int[Array, "B T"], attend: Attend
    ) -> tuple[Float[Array, "calls B T"], Float[Array, "calls B T"]]:
        """Returns how far each call moves its level's state; see `movement_over_text`."""
        latents = self.initial_latents(tokens)
        schedule = self.config.schedule
        return movement_over_text(schedule, self.H_module, self.L_module, latents, attend)

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return self.embed_tokens.logits(hidden)
        return self.lm_head(hidden)


class HrmText(TextModel[HrmTextConfig]):
    """HRM-Text as pure functions of its variables."""

    def module(self, rngs: Keys) -> HrmTextModule:
        """Returns a module with freshly drawn parameters and low-level initial state."""
        return HrmTextModule(self.config, rngs=rngs)
