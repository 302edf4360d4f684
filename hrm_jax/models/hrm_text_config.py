"""The configuration of HRM-Text, and its sizes."""

import dataclasses
from typing import Literal, get_args, get_type_hints

from hrm_jax.core.config import check, field
from hrm_jax.models.kv_cache import CallShape
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_attention import TextAttention
from hrm_jax.nn.gated_stack import GatedBlockConfig
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
        """Calls of both levels, with gradients truncated as `L_bp_cycles` says."""
        return Schedule.from_L_bp_cycles(self.H_cycles, self.L_cycles, self.L_bp_cycles)

    @property
    def attention(self) -> TextAttention:
        """How tokens attend, in every block and call."""
        return TextAttention(
            head_size=self.head_size,
            rope_theta=self.rope_theta,
            prefix_lm=self.prefix_lm,
            backend=self.attention_backend,
        )

    @property
    def calls(self) -> tuple[CallShape, ...]:
        """What is kept of each call of both levels, which are alike in shape."""
        call = CallShape(self.layers_per_stack, self.num_heads * self.head_size)
        return (call,) * self.schedule.num_calls

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
