"""HRM with adaptive computation time, and TRM, in PyTorch: the model of the timed baseline.

Both models are one sequence of calls of a reasoning module, `H_cycles` times (L, ..., L, H), of
which only the last few carry gradient; TRM uses one module for both roles. Parameters have the
names of the published checkpoints, so `TorchHrm` loads them after the prefix `model.` is removed.

Axes: B batch, T puzzle tokens, P puzzle-embedding prefix, L = P + T, D hidden, N heads, K = D / N,
V vocabulary. Everything is float32 unless stated; states and activations are in `compute_dtype`.

References:
  Wang et al., "Hierarchical Reasoning Model", 2025, arXiv:2506.21734.
  Jolicoeur-Martineau, "Less is More: Recursive Reasoning with Tiny Networks", 2025,
    arXiv:2510.04871.
"""

import dataclasses
import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.benchmarks.baselines.torch_layers import (
    Block,
    Embedding,
    Linear,
    PuzzleTable,
    linear,
    truncated_normal,
)


@dataclasses.dataclass(frozen=True)
class TorchHrmConfig:
    """Sizes and schedule of one model; field names follow the published configurations.

    `puzzle_emb_len` is P; 0 derives it as ceil(puzzle_emb_ndim / hidden_size).
    """

    vocab_size: int
    seq_len: int
    hidden_size: int
    num_heads: int
    L_layers: int
    H_layers: int = 0
    expansion: float = 4.0
    H_cycles: int = 2
    L_cycles: int = 2
    puzzle_emb_ndim: int = 0
    puzzle_emb_len: int = 0
    num_puzzle_identifiers: int = 1
    pos_encodings: Literal["rope", "learned", "none"] = "rope"
    rope_theta: float = 10000.0
    halt_max_steps: int = 16
    halt_exploration_prob: float = 0.1
    architecture: Literal["hrm", "trm"] = "hrm"
    mlp_t: bool = False
    compute_dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of states and activations."""
        return getattr(torch, self.compute_dtype)

    @property
    def prefix_len(self) -> int:
        """P, the number of prefix tokens that hold the puzzle embedding."""
        return self.puzzle_emb_len or -(-self.puzzle_emb_ndim // self.hidden_size)

    @property
    def total_len(self) -> int:
        """L, prefix and puzzle tokens together."""
        return self.prefix_len + self.seq_len

    @property
    def calls(self) -> tuple[str, ...]:
        """The reasoning calls of one inner step, in order."""
        return (("L",) * self.L_cycles + ("H",)) * self.H_cycles

    @property
    def gradient_calls(self) -> int:
        """How many calls at the end of `calls` carry gradient."""
        # HRM: the last call of each level. TRM: all calls of its last cycle.
        return 2 if self.architecture == "hrm" else self.L_cycles + 1


@dataclasses.dataclass
class TorchBatch:
    """Puzzles: inputs [B, T], labels [B, T] (-100 = ignored) and identifiers [B], integers."""

    inputs: Tensor
    labels: Tensor
    puzzle_identifiers: Tensor

    def where(self, mask: Tensor, other: "TorchBatch") -> "TorchBatch":
        """Returns the sequences of `self` where `mask` [B] is true, those of `other` elsewhere."""
        rows = mask[:, None]
        return TorchBatch(
            torch.where(rows, self.inputs, other.inputs),
            torch.where(rows, self.labels, other.labels),
            torch.where(mask, self.puzzle_identifiers, other.puzzle_identifiers),
        )


@dataclasses.dataclass
class TorchCarry:
    """State between outer steps: z_h, z_l [B, L, D], steps int32 [B], halted bool [B], data."""

    z_h: Tensor
    z_l: Tensor
    steps: Tensor
    halted: Tensor
    data: TorchBatch


@dataclasses.dataclass
class TorchOutputs:
    """What one outer step returns beside the carry.

    logits [B, T, V]; q_halt and q_continue [B], before the sigmoid; q_target [B] in (0, 1), or
    None where no Q-continue target is learnt; puzzle_rows [B, puzzle_emb_ndim], the leaf that
    receives the gradient of the puzzle embedding.
    """

    logits: Tensor
    q_halt: Tensor
    q_continue: Tensor
    q_target: Tensor | None
    puzzle_rows: Tensor


class BlockStack(nn.Module):
    """A stack of blocks over the sum of a state and what is injected into it."""

    def __init__(self, config: TorchHrmConfig, layers: int):
        super().__init__()
        sizes = (config.total_len, config.hidden_size, config.num_heads, config.expansion)
        self.layers = nn.ModuleList(Block(*sizes, mlp_t=config.mlp_t) for _ in range(layers))

    def forward(self, state: Tensor, injection: Tensor, rope) -> Tensor:
        """Maps state and injection [B, L, D] to the new state [B, L, D]."""
        x = state + injection
        for layer in self.layers:
            x = layer(x, rope)
        return x


class InnerStep(nn.Module):
    """The recurrence between two halting decisions, and both heads: the compiled region."""

    cos: Tensor
    sin: Tensor
    H_init: Tensor
    L_init: Tensor

    def __init__(self, config: TorchHrmConfig):
        super().__init__()
        self.config = config
        features = config.hidden_size
        self.embed_tokens = Embedding(config.vocab_size, features)
        self.puzzle_emb = PuzzleTable(config.num_puzzle_identifiers, config.puzzle_emb_ndim)
        if config.pos_encodings == "learned":
            self.embed_pos = Embedding(config.total_len, features)
        self.L_level = BlockStack(config, config.L_layers)
        if config.architecture == "hrm":
            self.H_level = BlockStack(config, config.H_layers)
        self.lm_head = linear(features, config.vocab_size)
        self.q_head = Linear(features, 2)
        nn.init.zeros_(self.q_head.weight)
        # As published: both values start as probabilities near 0, whatever the state is.
        nn.init.constant_(self.q_head.bias, -5.0)
        self.register_buffer("H_init", truncated_normal(features, std=1.0))
        self.register_buffer("L_init", truncated_normal(features, std=1.0))
        size = features // config.num_heads
        frequencies = config.rope_theta ** (-torch.arange(0, size, 2) / size)
        # Twice, as a head's first and second half turn by the same angles; the axis of heads is 1.
        angles = torch.outer(torch.arange(config.total_len), frequencies).repeat(1, 2)[:, None]
        # Not persistent: they follow from the config, and published checkpoints lack them.
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, z_h: Tensor, z_l: Tensor, tokens: Tensor, puzzle_rows: Tensor):
        """Returns the new z_h, z_l [B, L, D] (detached), logits [B, T, V] and q [B, 2]."""
        config = self.config
        embedded = self.embed(tokens, puzzle_rows)
        # Truncated backpropagation: only the last calls carry gradient.
        border = len(config.calls) - config.gradient_calls
        with torch.no_grad():
            z_h, z_l = self.reason(config.calls[:border], z_h, z_l, embedded)
        z_h, z_l = self.reason(config.calls[border:], z_h, z_l, embedded)
        logits = self.lm_head(z_h)[:, config.prefix_len :]
        # The Q head reads the first position; its losses are in float32.
        return z_h.detach(), z_l.detach(), logits, self.q_head(z_h[:, 0]).float()

    def embed(self, tokens: Tensor, puzzle_rows: Tensor) -> Tensor:
        """Embeds tokens [B, T] behind their prefix, scaled by sqrt(D): [B, L, D]."""
        config = self.config
        prefix_size = config.prefix_len * config.hidden_size
        # A puzzle's row fills up with zeros to whole tokens.
        prefix = F.pad(puzzle_rows.to(config.dtype), (0, prefix_size - config.puzzle_emb_ndim))
        prefix = prefix.unflatten(-1, (config.prefix_len, config.hidden_size))
        table = self.embed_tokens.embedding_weight.to(config.dtype)
        x = torch.cat((prefix, F.embedding(tokens, table)), dim=1)
        if config.pos_encodings == "learned":
            # The sum of two embeddings keeps the variance of one.
            x = math.sqrt(0.5) * (x + self.embed_pos.embedding_weight.to(config.dtype))
        return math.sqrt(config.hidden_size) * x

    def reason(self, calls: tuple[str, ...], z_h: Tensor, z_l: Tensor, embedded: Tensor):
        """Runs `calls` in order and returns the two states."""
        h_level = self.H_level if self.config.architecture == "hrm" else self.L_level
        rope = (self.cos, self.sin) if self.config.pos_encodings == "rope" else None
        for call in calls:
            if call == "L":
                z_l = self.L_level(z_l, z_h + embedded, rope)
            else:
                z_h = h_level(z_h, z_l, rope)
        return z_h, z_l


class TorchHrm(nn.Module):
    """The model with its halting rule; one call is one outer step of every sequence."""

    def __init__(self, config: TorchHrmConfig):
        super().__init__()
        self.config = config
        self.inner = InnerStep(config)

    def initial_carry(self, batch: TorchBatch) -> TorchCarry:
        """Returns a carry in which all sequences are halted.

        The first step then takes its batch and the initial states.
        """
        size = batch.puzzle_identifiers.shape
        device = self.inner.H_init.device
        shape = (*size, self.config.total_len, self.config.hidden_size)
        # Never read: halted sequences start from the initial states.
        empty = torch.empty(shape, dtype=self.config.dtype, device=device)
        steps = torch.zeros(size, dtype=torch.int32, device=device)
        halted = torch.ones(size, dtype=torch.bool, device=device)
        return TorchCarry(empty, empty, steps, halted, batch)

    def forward(self, carry: TorchCarry, batch: TorchBatch) -> tuple[TorchCarry, TorchOutputs]:
        """Refills halted sequences from `batch`, runs one inner step and decides which halt."""
        inner = self.inner
        fresh = carry.halted
        data = batch.where(fresh, carry.data)
        z_h = torch.where(fresh[:, None, None], inner.H_init.to(self.config.dtype), carry.z_h)
        z_l = torch.where(fresh[:, None, None], inner.L_init.to(self.config.dtype), carry.z_l)
        # The rows are a leaf of their own: the gradient for them, not for the whole table, goes to
        # sign-SGD.
        rows = inner.puzzle_emb.weights[data.puzzle_identifiers]
        rows.requires_grad_(torch.is_grad_enabled())
        z_h, z_l, logits, q = inner(z_h, z_l, data.inputs, rows)
        q_halt, q_continue = q.unbind(-1)
        with torch.no_grad():
            steps = torch.where(fresh, 0, carry.steps) + 1
            last = steps >= self.config.halt_max_steps
            # When measured every sequence takes all steps, so that a batch stays together.
            halted = last
            target = None
            if self.training and self.config.halt_max_steps > 1:
                halted = self._halted(q_halt, q_continue, steps, last)
                if self.config.architecture == "hrm":
                    # One more inner step, without gradient: the value of going on is the best value
                    # after it.
                    next_q = inner(z_h, z_l, data.inputs, rows)[3]
                    # After the last step there is no going on, so halting's value alone counts.
                    target = torch.where(last, next_q[:, 0], next_q.amax(-1)).sigmoid()
        outputs = TorchOutputs(logits, q_halt, q_continue, target, rows)
        return TorchCarry(z_h, z_l, steps, halted, data), outputs

    def _halted(self, q_halt: Tensor, q_continue: Tensor, steps: Tensor, last: Tensor) -> Tensor:
        """Returns which sequences the Q head halts, after a random minimum of steps: bool [B]."""
        threshold = q_continue if self.config.architecture == "hrm" else torch.zeros_like(q_halt)
        chance = torch.rand_like(q_halt) < self.config.halt_exploration_prob
        # Explores: with some chance a sequence has to take at least a random number of steps.
        minimum = torch.randint_like(steps, 2, self.config.halt_max_steps + 1) * chance
        return (last | (q_halt > threshold)) & (steps >= minimum)
