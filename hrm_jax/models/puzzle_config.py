"""The configuration of puzzle models, with HRM's and TRM's published values."""

from typing import Literal

from hrm_jax.core.candidates import CandidateGrid
from hrm_jax.core.config import check, configclass, field
from hrm_jax.models.recurrence import Schedule
from hrm_jax.nn.block import BlockConfig


@configclass
class PuzzleModelConfig:
    """Sizes and schedule of a puzzle model. The defaults are HRM's for Sudoku; see `trm` for TRM.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    seq_len: int = field(81, help="T: tokens of a puzzle", at_least=1)
    vocab_size: int = field(11, help="V: tokens known", at_least=1)
    num_puzzle_identifiers: int = field(1, help="I: rows of the puzzle-embedding table", at_least=1)
    puzzle_emb_ndim: int = field(
        512, help="E: width of a puzzle row; 0 for no puzzle embedding", at_least=0
    )
    puzzle_emb_len: int = field(
        0, help="P: prefix tokens; 0 for as few as hold the row", at_least=0
    )
    hidden_size: int = field(512, help="D", at_least=1)
    num_heads: int = field(8, help="N: attention heads", at_least=1)
    expansion: float = field(
        4.0, help="SwiGLU width over hidden size, before rounding", more_than=0
    )
    H_layers: int = field(4, help="blocks of the slow level; not read when shared_level")
    L_layers: int = field(4, help="blocks of the fast level", at_least=1)
    shared_level: bool = field(False, help="one network in both roles (TRM)")
    mlp_multiple: int = field(
        256, help="the SwiGLU's width is rounded up to a multiple of it", at_least=1
    )
    mixing: Literal["attention", "mlp", "relational"] = field(
        "attention",
        help="how tokens mix; mlp is TRM's mlp_t, relational goes by the puzzle's rules",
    )
    pos_encodings: Literal["rope", "learned", "none"] = field(
        "rope", help="how positions are told; learned ones of candidates undo their symmetry"
    )
    H_cycles: int = field(2, help="cycles, each ending in one slow call", at_least=1)
    L_cycles: int = field(2, help="fast calls in a cycle", at_least=1)
    gradient: Literal["last_calls", "last_cycle"] = field(
        "last_calls", help="what carries gradient: one call of each level (HRM), or a cycle (TRM)"
    )
    halt_max_steps: int = field(
        16, help="steps after which a sequence halts in any case", at_least=1
    )
    halt_exploration_prob: float = field(
        0.1,
        help="share of sequences given a minimum of steps",
        at_least=0,
        at_most=1,
        remedy="0 turns exploration off",
    )
    halt_when_right: bool = field(
        False, help="in training, halt when the answer is right, not when the model believes so"
    )
    initial_noise: float = field(
        0.0,
        help="in training, deviation of noise on the initial states, whose own size is 1",
        at_least=0,
        remedy="0 adds no noise",
    )
    q_continue: bool = field(
        True, help="learn the value of thinking on, and halt by comparing (HRM)"
    )
    distribution: Literal["stablemax", "softmax"] = field(
        "stablemax", help="what the logits stand for; softmax learns faster at small sizes"
    )
    compute_dtype: Literal["float32", "bfloat16"] = field("float32", help="dtype of activations")
    attention_backend: Literal["auto", "xla", "tpu", "gpu", "interpret"] = field(
        "auto", help="attention kernels; interpret runs the TPU's on any machine, slowly"
    )
    rms_norm_eps: float = field(1e-5, help="epsilon of the RMS norms", more_than=0)
    rope_theta: float = field(1e4, help="base of the rotary positions", more_than=0)

    def __post_init__(self):
        """Raises ConfigError where the fields do not fit together."""
        check(
            self.shared_level or self.H_layers > 0,
            "H_layers",
            expected="1 or more, as the levels share no network",
            got=self.H_layers,
            remedy="set 1 or more, or shared_level",
        )
        check(
            self.mixing != "relational" or not self.puzzle_emb_ndim,
            "puzzle_emb_ndim",
            expected="0 for relational mixing, which has no prefix tokens",
            got=self.puzzle_emb_ndim,
            remedy="set 0",
        )
        # A row of the table is laid over the prefix tokens, so it must fit into them.
        room = self.puzzle_emb_len * self.hidden_size
        check(
            not self.puzzle_emb_len or 0 < self.puzzle_emb_ndim <= room,
            "puzzle_emb_ndim",
            expected=f"1 to {room}, what {self.puzzle_emb_len} prefix tokens hold",
            got=self.puzzle_emb_ndim,
            remedy="puzzle_emb_len=0 makes the prefix as long as the row needs",
        )
        if self.mixing == "attention":
            self._check_heads()

    def _check_heads(self) -> None:
        check(
            self.hidden_size % self.num_heads == 0,
            "num_heads",
            expected=f"a divisor of hidden_size={self.hidden_size}",
            got=self.num_heads,
            remedy="change num_heads or hidden_size",
        )
        check(
            self.pos_encodings != "rope" or self.hidden_size // self.num_heads % 2 == 0,
            "num_heads",
            expected=f"an even head size hidden_size={self.hidden_size} / num_heads for rotation",
            got=self.num_heads,
            remedy="change num_heads, or set pos_encodings to 'learned'",
        )

    @property
    def prefix_length(self) -> int:
        """P: number of tokens of the puzzle prefix."""
        # Ceiling division: as many tokens of hidden_size as hold a row of the table.
        return self.puzzle_emb_len or -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def length(self) -> int:
        """L = P + T."""
        return self.prefix_length + self.seq_len

    @property
    def schedule(self) -> Schedule:
        """Calls of both levels, and which of them carry gradient."""
        # One entry: the last cycle alone carries gradient, through so many of its fast calls.
        last = 1 if self.gradient == "last_calls" else self.L_cycles
        return Schedule(self.H_cycles, self.L_cycles, (last,))

    def block(self, grid: CandidateGrid | None = None) -> BlockConfig:
        """Returns every block's configuration; `grid` holds the relations for relational mixing."""
        return BlockConfig(
            features=self.hidden_size,
            num_heads=self.num_heads,
            expansion=self.expansion,
            length=self.length,
            mixing=self.mixing,
            rope_theta=self.rope_theta if self.pos_encodings == "rope" else None,
            norm_eps=self.rms_norm_eps,
            # None leaves the choice to `hrm_kernels`.
            attention_backend=None if self.attention_backend == "auto" else self.attention_backend,
            mlp_multiple=self.mlp_multiple,
            grid=grid,
        )


def hrm(**fields) -> PuzzleModelConfig:
    """Returns HRM v1 as published for Sudoku (arXiv 2506.21734), with `fields` changed."""
    return PuzzleModelConfig(**fields)


def trm(**fields) -> PuzzleModelConfig:
    """Returns TRM as published for Sudoku (arXiv 2510.04871), with `fields` changed.

    One two-layer network in both roles, three cycles of six fast calls, gradient through the last
    cycle, halting on the sign of `q_halt_logits`. `mixing="mlp", pos_encodings="none"` is TRM-MLP.
    """
    published = {
        "shared_level": True,
        "L_layers": 2,
        "H_cycles": 3,
        "L_cycles": 6,
        "gradient": "last_cycle",
        "q_continue": False,
        # More tokens than a row of 512 needs: `puzzle_prefix` pads it with zeros.
        "puzzle_emb_len": 16,
    }
    return PuzzleModelConfig(**{**published, **fields})
