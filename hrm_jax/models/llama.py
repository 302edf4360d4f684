"""Llama and its family: a decoder of pre-norm blocks with grouped heads and rotary positions.

Equal to transformers' `LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM` and
`Qwen3ForCausalLM` (5.24). Llama: arXiv 2302.13971; grouped heads: arXiv 2305.13245.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_type_hints

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hrm_jax.core.config import check, field
from hrm_jax.core.types import Buffer, Variables
from hrm_jax.models import text
from hrm_jax.models.call_cache import CallCache, CallShape
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.decoder_block import DecoderBlock, DecoderBlockConfig
from hrm_jax.nn.embedding import Embedding
from hrm_jax.nn.linear import Linear
from hrm_jax.nn.norm import RMSNorm
from hrm_jax.nn.product import product
from hrm_jax.nn.rope import UNSCALED, RopeScaling


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """A decoder of Llama's family. The defaults are SmolLM2-135M.

    Llama, Mistral (a window), Qwen2 (biases of queries, keys and values) and Qwen3 (their norms)
    differ in fields alone.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    vocab_size: int = field(49152, help="V: tokens known")
    hidden_size: int = field(576, help="D")
    num_layers: int = field(30, help="blocks")
    num_heads: int = field(9, help="N: query heads")
    num_key_heads: int = field(3, help="M: key and value heads, a divisor of num_heads")
    head_size: int = field(64, help="K; num_heads * head_size need not be hidden_size")
    mlp_width: int = field(1536, help="F: width of the SwiGLU")
    qkv_bias: bool = field(False, help="queries, keys and values have biases")
    out_bias: bool = field(False, help="attention's output has a bias")
    mlp_bias: bool = field(False, help="both projections of the SwiGLU have biases")
    qk_norm: bool = field(False, help="each head of queries and keys is normalised")
    window: int | None = field(None, help="tokens that each one sees; None for all")
    prefix_lm: bool = field(False, help="tokens of a prefix see each other; if not, all is causal")
    tie_embeddings: bool = field(True, help="the head reads the embedding's own table")
    initializer_range: float | None = field(
        None, help="standard deviation of fresh embeddings; None for 1 / sqrt(hidden_size)"
    )
    rope_theta: float = field(1e5, help="base of the rotary positions")
    rope_scaling: RopeScaling = UNSCALED
    rms_norm_eps: float = field(1e-5, help="epsilon of the RMS norms")
    max_length: int = field(8192, help="longest text the model is meant for; nothing depends on it")
    bos_token: int | None = field(None, help="token that begins a text; for generation")
    eos_tokens: tuple[int, ...] = field((), help="tokens that end one; for generation")
    compute_dtype: Literal["float32", "bfloat16"] = field("float32", help="dtype of activations")
    attention_backend: Literal["auto", "xla", "tpu", "gpu", "interpret"] = field(
        "auto", help="attention kernels; interpret runs the TPU's on any machine, slowly"
    )

    def __post_init__(self):
        """Validates the fields."""
        positive = ["vocab_size", "hidden_size", "num_layers", "num_heads", "num_key_heads"]
        positive += ["head_size", "mlp_width", "rope_theta", "rms_norm_eps", "max_length"]
        optional = ("initializer_range", "window")
        for name in (*positive, *(n for n in optional if getattr(self, n) is not None)):
            value = getattr(self, name)
            check(value > 0, name, expected="a positive number", got=value, remedy="set one")
        for name in ("compute_dtype", "attention_backend"):
            choices, value = get_args(get_type_hints(LlamaConfig)[name]), getattr(self, name)
            check(value in choices, name, expected=f"one of {choices}", got=value, remedy="set one")
        check(
            self.head_size % 2 == 0,
            "head_size",
            expected="an even number, as rotation turns pairs",
            got=self.head_size,
            remedy="change head_size",
        )
        check(
            self.num_heads % self.num_key_heads == 0,
            "num_key_heads",
            expected=f"a divisor of num_heads={self.num_heads}",
            got=self.num_key_heads,
            remedy="num_heads gives each query head a key head of its own",
        )
        tokens = {"bos_token": self.bos_token} if self.bos_token is not None else {}
        tokens |= {f"eos_tokens[{i}]": token for i, token in enumerate(self.eos_tokens)}
        for name, token in tokens.items():
            check(
                0 <= token < self.vocab_size,
                name,
                expected=f"a token, 0 to vocab_size - 1 = {self.vocab_size - 1}",
                got=token,
                remedy="leave it out where there is no such token",
            )

    @property
    def block(self) -> DecoderBlockConfig:
        """Shape of every block."""
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
    """The parameters of a decoder, which is one call of all its blocks."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        V, D = config.vocab_size, config.hidden_size
        self.config = config
        self.embed_tokens = Embedding(V, D, std=config.initializer_range, rngs=rngs)
        blocks = [DecoderBlock(config.block, rngs=rngs) for _ in range(config.num_layers)]
        self.layers = nnx.List(blocks)
        self.norm = RMSNorm(D, eps=config.rms_norm_eps)
        if not config.tie_embeddings:
            self.lm_head = Linear(D, V, axes=("embed", None), rngs=rngs)

    def think(
        self, tokens: Int[Array, "B T"], attend: Attend, memory: Sequence[Any] | None = None
    ) -> tuple[Float[Array, "B T D"], text.Calls]:
        """The normalised states after the last block, as `text.TextModule` has it."""
        x, kept = self.embed_tokens(tokens, jnp.dtype(self.config.compute_dtype)), []
        slots = memory and memory[0]
        for layer, slot in zip(self.layers, slots or [None] * len(self.layers), strict=True):
            x, slot = layer(x, attend, slot)
            kept.append(slot)
        return self.norm(x), () if memory is None else (tuple(kept),)

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return product(hidden, self.embed_tokens.table[...].T)
        return self.lm_head(hidden)


@dataclasses.dataclass(frozen=True)
class Llama:
    """A decoder of Llama's family as pure functions of its variables.

    Hashable and equal by configuration, so that it can be a static argument of `jit`.
    """

    config: LlamaConfig

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.config.vocab_size

    @property
    def attention(self) -> text.TextAttention:
        """How tokens attend."""
        config = self.config
        return text.TextAttention(
            config.head_size,
            config.rope_theta,
            config.rope_scaling,
            config.window,
            config.prefix_lm,
            config.attention_backend,
        )

    @property
    def call(self) -> CallShape:
        """What is kept of the one call."""
        return CallShape(self.config.num_layers, self.config.num_key_heads * self.config.head_size)

    def init(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables, float32; the same key gives the same values."""
        module = LlamaModule(self.config, rngs=nnx.Rngs(params=key))
        _, params, buffers = nnx.split(module, nnx.Param, Buffer)
        return Variables(params, buffers, None)

    def logits(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        token_types: Int[Array, "B T"] | None = None,
        segment_ids: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
    ) -> Float[Array, "B T V"]:
        """Scores of the token after each one, in the compute dtype.

        Args:
          variables: the model's values, in float32 or bfloat16; they are cast at use.
          tokens: the texts, int32.
          token_types: 1 for the tokens of a prefix, which see each other in both directions if
            `config.prefix_lm` is on; they are neighbours, one run in each text. All else is causal.
          segment_ids: of texts packed into a row; they do not see each other. The tokens of a
            segment are neighbours.
          lengths: tokens of each row; none sees those beyond, whose logits mean nothing.
        """
        module = self.bind(variables)
        attend = self.attention.whole(tokens.shape[1], token_types, segment_ids, lengths)
        return module.read(module.think(tokens, attend)[0])

    def empty_cache(self, B: int, room: int) -> CallCache:
        """A cache without tokens, for a batch of B with room for `room` tokens in each row."""
        return CallCache.empty([self.call], B, room, self.config.compute_dtype)

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
        module, masks = self.bind(variables), (token_types, lengths)
        return text.prefill(module, self.attention, 1, tokens, *masks, room=room)

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: CallCache
    ) -> tuple[Float[Array, "B T V"], CallCache]:
        """Reads T more tokens of every row, causally: `text.decode`."""
        return text.decode(self.bind(variables), self.attention, tokens, cache)

    def bind(self, variables: Variables) -> LlamaModule:
        """The module holding these values."""
        return nnx.merge(_graphdef(self.config), variables.params, variables.buffers)


@functools.cache
def _graphdef(config: LlamaConfig) -> nnx.GraphDef:
    """The model's structure without its values."""
    return nnx.graphdef(nnx.eval_shape(lambda: LlamaModule(config, rngs=nnx.Rngs(0))))
