"""The configuration that tells one puzzle reasoner from another."""

import dataclasses
from typing import Literal

from hrm_jax.core.config import ConfigError
from hrm_jax.models.recurrence import Schedule
from hrm_jax.nn.block import BlockConfig


def _field(default, help_text: str):
    return dataclasses.field(default=default, metadata={"help": help_text})


@dataclasses.dataclass(frozen=True)
class ReasonerConfig:
    """A puzzle reasoner. The defaults are HRM's published Sudoku model; `trm` turns it into TRM.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    seq_len: int = _field(81, "T: tokens of a puzzle")
    vocab_size: int = _field(11, "V: tokens known")
    num_puzzle_identifiers: int = _field(1, "I: rows of the puzzle-embedding table")
    puzzle_emb_ndim: int = _field(512, "E: width of a puzzle row; 0 for no puzzle embedding")
    puzzle_emb_len: int = _field(0, "P: prefix tokens; 0 for as few as hold the row")
    hidden_size: int = _field(512, "D")
    num_heads: int = _field(8, "N: attention heads")
    expansion: float = _field(4.0, "SwiGLU width over hidden size, before rounding")
    H_layers: int = _field(4, "blocks of the slow level; not read when shared_level")
    L_layers: int = _field(4, "blocks of the fast level")
    shared_level: bool = _field(False, "one network in both roles (TRM)")
    mixing: Literal["attention", "mlp"] = _field("attention", "how tokens mix; mlp is TRM's mlp_t")
    pos_encodings: Literal["rope", "learned", "none"] = _field("rope", "how positions are told")
    H_cycles: int = _field(2, "cycles, each ending in one slow call")
    L_cycles: int = _field(2, "fast calls in a cycle")
    gradient: Literal["last_calls", "last_cycle"] = _field(
        "last_calls", "what carries gradient: one call of each level (HRM), or a cycle (TRM)"
    )
    halt_max_steps: int = _field(16, "steps after which a sequence halts in any case")
    halt_exploration_prob: float = _field(0.1, "share of sequences given a minimum of steps")
    q_continue: bool = _field(True, "learn the value of thinking on, and halt by comparing (HRM)")
    compute_dtype: Literal["float32", "bfloat16"] = _field("float32", "dtype of activations")
    rms_norm_eps: float = _field(1e-5, "epsilon of the RMS norms")
    rope_theta: float = _field(1e4, "base of the rotary positions")

    def __post_init__(self):
        """Validates the fields."""
        positive = ["seq_len", "vocab_size", "hidden_size", "num_heads", "L_layers", "H_cycles"]
        positive += ["L_cycles", "halt_max_steps", "num_puzzle_identifiers", "expansion"]
        positive += [] if self.shared_level else ["H_layers"]
        for name in positive:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: expected a positive number, got {getattr(self, name)}")
        self._check_heads()
        self._check_puzzle_embedding()
        if not 0 <= self.halt_exploration_prob <= 1:
            raise ConfigError(
                f"halt_exploration_prob: expected 0 to 1, got {self.halt_exploration_prob}"
            )
        for name, choices in [
            ("mixing", ("attention", "mlp")),
            ("pos_encodings", ("rope", "learned", "none")),
            ("gradient", ("last_calls", "last_cycle")),
            ("compute_dtype", ("float32", "bfloat16")),
        ]:
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name}: expected one of {choices}, got {getattr(self, name)!r}")

    def _check_heads(self) -> None:
        if self.mixing == "attention" and self.hidden_size % self.num_heads:
            raise ConfigError(
                f"num_heads: expected a divisor of hidden_size={self.hidden_size}, "
                f"got {self.num_heads}"
            )
        if self.pos_encodings == "rope" and self.hidden_size // self.num_heads % 2:
            raise ConfigError(
                f"num_heads: rotary positions need an even head size, got hidden_size / num_heads "
                f"= {self.hidden_size} / {self.num_heads}"
            )

    def _check_puzzle_embedding(self) -> None:
        if self.puzzle_emb_ndim < 0 or self.puzzle_emb_len < 0:
            raise ConfigError(
                "puzzle_emb_ndim and puzzle_emb_len: expected 0 or more, got "
                f"{self.puzzle_emb_ndim} and {self.puzzle_emb_len}"
            )
        room = self.puzzle_emb_len * self.hidden_size
        if self.puzzle_emb_len and not 0 < self.puzzle_emb_ndim <= room:
            raise ConfigError(
                f"puzzle_emb_ndim: {self.puzzle_emb_len} prefix tokens of {self.hidden_size} hold "
                f"rows of 1 to {room}, got {self.puzzle_emb_ndim}; puzzle_emb_len=0 fits the row"
            )

    @property
    def prefix_length(self) -> int:
        """P: tokens of the puzzle prefix."""
        return self.puzzle_emb_len or -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def length(self) -> int:
        """L = P + T."""
        return self.prefix_length + self.seq_len

    @property
    def schedule(self) -> Schedule:
        """Calls of both levels and the gradient border."""
        last = 1 if self.gradient == "last_calls" else self.L_cycles
        return Schedule(self.H_cycles, self.L_cycles, (last,))

    @property
    def block(self) -> BlockConfig:
        """Shape of every block."""
        return BlockConfig(
            features=self.hidden_size,
            num_heads=self.num_heads,
            expansion=self.expansion,
            length=self.length,
            mixing=self.mixing,
            rope_theta=self.rope_theta if self.pos_encodings == "rope" else None,
            norm_eps=self.rms_norm_eps,
        )


def hrm(**fields) -> ReasonerConfig:
    """HRM v1 as published for Sudoku (arXiv 2506.21734), with `fields` changed."""
    return ReasonerConfig(**fields)


def trm(**fields) -> ReasonerConfig:
    """TRM as published for Sudoku (arXiv 2510.04871), with `fields` changed.

    One two-layer network in both roles, three cycles of six fast calls, gradient through the last
    cycle, halting on the sign of `q_halt_logits`. `mixing="mlp", pos_encodings="none"` is TRM-MLP.
    """
    published = dict(
        shared_level=True,
        L_layers=2,
        H_cycles=3,
        L_cycles=6,
        gradient="last_cycle",
        q_continue=False,
        puzzle_emb_len=16,
    )
    return ReasonerConfig(**{**published, **fields})
