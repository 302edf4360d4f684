"""HRM-Text: the two levels as stacks of gated pre-norm blocks over text.

The text is embedded into z_H, z_L starts from a fixed vector, the levels think in nested cycles,
and z_H is read out at every token. Equal to transformers' `HrmTextForCausalLM` (5.23).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_type_hints

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hrm_jax.core.config import check, field
from hrm_jax.core.types import Buffer, Latents, Variables
from hrm_jax.models import text
from hrm_jax.models.call_cache import CallCache, CallShape
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_recurrence import recur_over_text
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.embedding import Embedding
from hrm_jax.nn.gated_stack import GatedBlockConfig, GatedStack
from hrm_jax.nn.linear import Linear, truncated_normal
from hrm_jax.nn.product import product
from hrm_jax.nn.swiglu import swiglu_width


@dataclasses.dataclass(frozen=True)
class HrmTextConfig:
    """HRM-Text. The defaults are the published size B; `hrm_text` has the others by name.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    vocab_size: int = field(65536, help="V: tokens known")
    hidden_size: int = field(1024, help="D")
    num_heads: int = field(8, help="N: attention heads")
    head_size: int = field(128, help="K")
    mlp_width: int = field(2816, help="F: width of the SwiGLU")
    layers_per_stack: int = field(6, help="blocks of each level")
    H_cycles: int = field(2, help="cycles, each ending in one slow call")
    L_cycles: int = field(3, help="fast calls in a cycle")
    L_bp_cycles: tuple[int, ...] = field(
        (2,), help="fast calls of each cycle that carry gradient; padded with ones on the left"
    )
    prefix_lm: bool = field(True, help="tokens of a prefix see each other; if not, all is causal")
    tie_embeddings: bool = field(False, help="the head reads the embedding's own table")
    initializer_range: float | None = field(
        None, help="standard deviation of fresh embeddings; None for 1 / sqrt(hidden_size)"
    )
    embedding_scale: float | None = field(
        None, help="factor on the embeddings; None for 1 / initializer_range"
    )
    rope_theta: float = field(1e4, help="base of the rotary positions")
    rms_norm_eps: float = field(1e-6, help="epsilon of the RMS norms")
    max_length: int = field(4096, help="longest text the model is meant for; nothing depends on it")
    pad_token: int | None = field(None, help="token whose embedding gets no gradient")
    bos_token: int | None = field(None, help="token that begins a text; for generation")
    eos_tokens: tuple[int, ...] = field((), help="tokens that end one; for generation")
    compute_dtype: Literal["float32", "bfloat16"] = field("float32", help="dtype of activations")
    attention_backend: Literal["auto", "xla", "tpu", "gpu", "interpret"] = field(
        "auto", help="attention kernels; interpret runs the TPU's on any machine, slowly"
    )

    def __post_init__(self):
        """Validates the fields."""
        positive = ["vocab_size", "hidden_size", "num_heads", "head_size", "mlp_width", "H_cycles"]
        positive += ["L_cycles", "layers_per_stack", "max_length", "rope_theta", "rms_norm_eps"]
        optional = [n for n in ("initializer_range", "embedding_scale") if getattr(self, n)]
        for name in positive + optional:
            value = getattr(self, name)
            check(value > 0, name, expected="a positive number", got=value, remedy="set one")
        for name in ("compute_dtype", "attention_backend"):
            choices, value = get_args(get_type_hints(HrmTextConfig)[name]), getattr(self, name)
            check(value in choices, name, expected=f"one of {choices}", got=value, remedy="set one")
        check(
            self.head_size % 2 == 0,
            "head_size",
            expected="an even number, as rotation turns pairs",
            got=self.head_size,
            remedy="change head_size",
        )
        check(
            min(self.L_bp_cycles, default=0) >= 0,
            "L_bp_cycles",
            expected="numbers of calls, 0 or more",
            got=self.L_bp_cycles,
            remedy="0 lets no call of a cycle carry gradient",
        )
        check(
            self.hidden_size % self.num_heads == 0,
            "num_heads",
            expected=f"a divisor of hidden_size={self.hidden_size}, as transformers asks for",
            got=self.num_heads,
            remedy="change num_heads or hidden_size; head_size may be any even number",
        )
        self._check_tokens()

    def _check_tokens(self) -> None:
        tokens = {"pad_token": self.pad_token, "bos_token": self.bos_token}
        tokens |= {f"eos_tokens[{i}]": token for i, token in enumerate(self.eos_tokens)}
        for name, token in tokens.items():
            check(
                token is None or 0 <= token < self.vocab_size,
                name,
                expected=f"a token, 0 to vocab_size - 1 = {self.vocab_size - 1}",
                got=token,
                remedy="leave it out where there is no such token",
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
        """Calls of both levels, with the gradient border of `L_bp_cycles`."""
        return Schedule.from_L_bp_cycles(self.H_cycles, self.L_cycles, self.L_bp_cycles)

    @property
    def block(self) -> GatedBlockConfig:
        """Shape of every block."""
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
"""`B`, `L` and `XL` as published; `nano` and `micro` for CPU, with heads of 64 and 512 tokens."""


def hrm_text(size: str, **fields) -> HrmTextConfig:
    """HRM-Text of a size in `SIZES`, with `fields` changed.

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
    """The parameters of HRM-Text, and what happens to a text before and after the cycles."""

    def __init__(self, config: HrmTextConfig, *, rngs: nnx.Rngs):
        """Draws parameters and the low level's initial state."""
        V, D = config.vocab_size, config.hidden_size
        self.config = config
        self.embed_tokens = Embedding(V, D, std=config.embedding_std, rngs=rngs)
        self.H_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        self.L_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        if not config.tie_embeddings:
            self.lm_head = Linear(D, V, axes=("embed", None), rngs=rngs)
        self.z_L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))

    def initial_latents(self, tokens: Int[Array, "B T"]) -> Latents:
        """z_H, the scaled embeddings, and z_L, the same vector at every token."""
        config, dtype = self.config, jnp.dtype(self.config.compute_dtype)
        embedded = self.embed_tokens(tokens, dtype)
        if config.pad_token is not None:  # as PyTorch's `padding_idx` has it
            is_pad = (tokens == config.pad_token)[..., None]
            embedded = jnp.where(is_pad, jax.lax.stop_gradient(embedded), embedded)
        z_H = config.input_scale * embedded
        z_L = jnp.broadcast_to(self.z_L_init[...].astype(dtype)[None, None], z_H.shape)
        return Latents(z_H, z_L)

    def think(
        self,
        tokens: Int[Array, "B T"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
        schedule: Schedule | None = None,
    ) -> tuple[Float[Array, "B T D"], text.Calls]:
        """z_H after all cycles; see `text.TextModule`. `schedule` is in place of the config's."""
        schedule, latents = schedule or self.config.schedule, self.initial_latents(tokens)
        levels = self.H_module, self.L_module
        latents, calls = recur_over_text(schedule, *levels, latents, attend, memory)
        return latents.z_H, calls

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return product(hidden, self.embed_tokens.table[...].T)
        return self.lm_head(hidden)


@dataclasses.dataclass(frozen=True)
class HrmText:
    """HRM-Text as pure functions of its variables.

    Hashable and equal by configuration, so that it can be a static argument of `jit`.
    """

    config: HrmTextConfig

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.config.vocab_size

    def init(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables, float32; the same key gives the same values."""
        module = HrmTextModule(self.config, rngs=nnx.Rngs(params=key))
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
        schedule: Schedule | None = None,
    ) -> Float[Array, "B T V"]:
        """Scores of the token after each one.

        Args:
          variables: the model's values.
          tokens: the texts, int32.
          token_types: 1 for the tokens of a prefix, which see each other in both directions; they
            are neighbours, one run in each text. All else is causal, as everything is without
            types or if `config.prefix_lm` is off.
          segment_ids: of texts packed into a row; they do not see each other. The tokens of a
            segment are neighbours. Positions go on from one to the next, which changes nothing:
            rotary attention depends on their differences alone.
          lengths: tokens of each row; none sees those beyond, whose logits mean nothing.
          schedule: calls and gradient border in place of the config's (static): a border that warms
            up, or more cycles.

        Returns:
          The logits, in the compute dtype.
        """
        module = self._bind(variables)
        attend = self._attention.whole(tokens.shape[1], token_types, segment_ids, lengths)
        return module.read(module.think(tokens, attend, schedule=schedule)[0])

    def empty_cache(self, B: int, room: int) -> CallCache:
        """A cache without tokens, for a batch of B with room for `room` tokens in each row."""
        config = self.config
        call = CallShape(config.layers_per_stack, config.num_heads * config.head_size)
        return CallCache.empty([call] * config.schedule.num_calls, B, room, config.compute_dtype)

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
        calls, masks = self.config.schedule.num_calls, (token_types, lengths)
        return text.prefill(
            self._bind(variables), self._attention, calls, tokens, *masks, room=room
        )

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: CallCache
    ) -> tuple[Float[Array, "B T V"], CallCache]:
        """Reads T more tokens of every row, causally: `text.decode`."""
        return text.decode(self._bind(variables), self._attention, tokens, cache)

    @property
    def _attention(self) -> text.TextAttention:
        config = self.config
        return text.TextAttention(
            config.head_size,
            config.rope_theta,
            prefix_lm=config.prefix_lm,
            backend=config.attention_backend,
        )

    def _bind(self, variables: Variables) -> HrmTextModule:
        """The module holding these values."""
        return nnx.merge(_graphdef(self.config), variables.params, variables.buffers)


@functools.cache
def _graphdef(config: HrmTextConfig) -> nnx.GraphDef:
    """The model's structure without its values."""
    return nnx.graphdef(nnx.eval_shape(lambda: HrmTextModule(config, rngs=nnx.Rngs(0))))
