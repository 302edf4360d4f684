"""Llama and its family: a decoder of pre-norm blocks with grouped heads and rotary positions.

Equal to transformers' `LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM` and
`Qwen3ForCausalLM` (5.24). Llama: arXiv 2302.13971; grouped heads: arXiv 2305.13245.
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.core.config import check, configclass, field
from hrm_jax.models.call_cache import Calls, CallShape
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.special_tokens import check_tokens
from hrm_jax.models.text_attention import TextAttention
from hrm_jax.models.text_model import TextModel
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.decoder_block import DecoderBlock, DecoderBlockConfig
from hrm_jax.nn.embedding import Embedding
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import Linear
from hrm_jax.nn.norm import RMSNorm
from hrm_jax.nn.rope import UNSCALED, RopeScaling


@configclass
class LlamaConfig:
    """A decoder of Llama's family. The defaults are SmolLM2-135M.

    Llama, Mistral (a window), Qwen2 (biases of queries, keys and values) and Qwen3 (their norms)
    differ in fields alone.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    vocab_size: int = field(49152, help="V: tokens known", at_least=1)
    hidden_size: int = field(576, help="D", at_least=1)
    num_layers: int = field(30, help="blocks", at_least=1)
    num_heads: int = field(9, help="N: query heads", at_least=1)
    num_key_heads: int = field(3, help="M: key and value heads, a divisor of num_heads", at_least=1)
    head_size: int = field(
        64,
        help="K; num_heads * head_size need not be hidden_size",
        at_least=2,
        multiple_of=2,
        remedy="rotation turns pairs; change head_size",
    )
    mlp_width: int = field(1536, help="F: width of the SwiGLU", at_least=1)
    qkv_bias: bool = field(False, help="queries, keys and values have biases")
    out_bias: bool = field(False, help="attention's output has a bias")
    mlp_bias: bool = field(False, help="both projections of the SwiGLU have biases")
    qk_norm: bool = field(False, help="each head of queries and keys is normalised")
    window: int | None = field(None, help="tokens that each one sees; None for all", at_least=1)
    prefix_lm: bool = field(False, help="tokens of a prefix see each other; if not, all is causal")
    tie_embeddings: bool = field(True, help="the head reads the embedding's own table")
    initializer_range: float | None = field(
        None,
        help="standard deviation of fresh embeddings; None for 1 / sqrt(hidden_size)",
        more_than=0,
    )
    rope_theta: float = field(1e5, help="base of the rotary positions", more_than=0)
    rope_scaling: RopeScaling = UNSCALED
    rms_norm_eps: float = field(1e-5, help="epsilon of the RMS norms", more_than=0)
    max_length: int = field(
        8192, help="longest text the model is meant for; nothing depends on it", at_least=1
    )
    bos_token: int | None = field(None, help="token that begins a text; for generation")
    eos_tokens: tuple[int, ...] = field((), help="tokens that end one; for generation")
    compute_dtype: Literal["float32", "bfloat16"] = field("float32", help="dtype of activations")
    attention_backend: Literal["auto", "xla", "tpu", "gpu", "interpret"] = field(
        "auto", help="attention kernels; interpret runs the TPU's on any machine, slowly"
    )

    def __post_init__(self):
        """Raises ConfigError where the fields do not fit together."""
        check(
            self.num_heads % self.num_key_heads == 0,
            "num_key_heads",
            expected=f"a divisor of num_heads={self.num_heads}",
            got=self.num_key_heads,
            remedy="num_heads gives each query head a key head of its own",
        )
        check_tokens(self.vocab_size, self.eos_tokens, bos_token=self.bos_token)

    @property
    def attention(self) -> TextAttention:
        """Settings of attention, the same in every block."""
        return TextAttention(
            head_size=self.head_size,
            rope_theta=self.rope_theta,
            rope_scaling=self.rope_scaling,
            window=self.window,
            prefix_lm=self.prefix_lm,
            backend=self.attention_backend,
        )

    @property
    def calls(self) -> tuple[CallShape, ...]:
        """Size of what is cached; the blocks are called once."""
        # Only the M heads of keys and values are kept, not the N that query them.
        return (CallShape(self.num_layers, self.num_key_heads * self.head_size),)

    @property
    def block(self) -> DecoderBlockConfig:
        """Configuration of every block."""
        return DecoderBlockConfig(
            features=self.hidden_size,
            num_heads=self.num_heads,
            num_key_heads=self.num_key_heads,
            head_size=self.head_size,
            width=self.mlp_width,
            norm_eps=self.rms_norm_eps,
            qkv_bias=self.qkv_bias,
            out_bias=self.out_bias,
            mlp_bias=self.mlp_bias,
            qk_norm=self.qk_norm,
        )


SMOLLM2_135M = LlamaConfig()


class LlamaModule(nnx.Module):
    """Parameters of a decoder, whose blocks are all called once."""

    def __init__(self, config: LlamaConfig, *, rngs: Keys):
        """Draws the parameters."""
        V = config.vocab_size
        D = config.hidden_size
        self.config = config
        self.embed_tokens = Embedding(V, D, std=config.initializer_range, rngs=rngs)
        blocks = [DecoderBlock(config.block, rngs=rngs) for _ in range(config.num_layers)]
        self.layers = nnx.List(blocks)
        self.norm = RMSNorm(D, eps=config.rms_norm_eps)
        if not config.tie_embeddings:
            self.lm_head = Linear(D, V, axes=("embed", None), rngs=rngs)

    def think(
        self,
        tokens: Int[Array, "B T"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
        schedule: Schedule | None = None,
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """Returns the normalised states after the last block; see `TextModule.think`."""
        if schedule is not None:
            raise ValueError(f"expected no schedule for a model that does not recur: {schedule}")
        x = self.embed_tokens(tokens, jnp.dtype(self.config.compute_dtype))
        # One call for all blocks, where models that recur have several.
        slots = None if memory is None else memory[0]
        # Without a cache every layer gets None for its slot, and what it returns is dropped.
        kept = []
        for layer, slot in zip(self.layers, slots or [None] * len(self.layers), strict=True):
            x, slot = layer(x, attend, slot)
            kept.append(slot)
        return self.norm(x), () if memory is None else (tuple(kept),)

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return self.embed_tokens.logits(hidden)
        return self.lm_head(hidden)


class Llama(TextModel[LlamaConfig]):
    """A decoder of Llama's family as pure functions of its variables."""

    def module(self, rngs: Keys) -> LlamaModule:
        """Returns a module with freshly drawn parameters."""
        return LlamaModule(self.config, rngs=rngs)
