"""The configuration of HRM-Text, and its sizes."""

from typing import Literal

from hrm_jax.core.config import check, configclass, field
from hrm_jax.models.recurrence import Schedule
from hrm_jax.nn.gated_stack import GatedBlockConfig
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
