"""The layers of the PyTorch baseline, without biases and with weightless norms.

Parameters are float32; products are in the input's dtype, norms and rotations in float32.

Axes: B batch, L tokens, D features, N heads, K = D / N.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-5
# Standard deviation of N(0, 1) cut at +-2: dividing by it makes `std` that of the samples.
TRUNCATED_STD = 0.87962566103423978

Rope = tuple[Tensor, Tensor]


def truncated_normal(*shape: int, std: float) -> Tensor:
    """Samples a normal cut at two sigma, rescaled so that its standard deviation is `std`."""
    sigma = std / TRUNCATED_STD
    return nn.init.trunc_normal_(torch.empty(shape), std=sigma, a=-2 * sigma, b=2 * sigma)


class Linear(nn.Linear):
    """A linear map whose weights are cast to the dtype of its input."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps `input` [..., inputs] to [..., outputs], in its dtype."""
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)


def linear(inputs: int, outputs: int) -> Linear:
    """Returns a linear map without bias; its weight has standard deviation inputs**-0.5."""
    layer = Linear(inputs, outputs, bias=False)
    layer.weight = nn.Parameter(truncated_normal(outputs, inputs, std=inputs**-0.5))
    return layer


def rms_norm(x: Tensor) -> Tensor:
    """Scales `x` to mean square one over its last axis; no weight."""
    return F.rms_norm(x.float(), x.shape[-1:], eps=NORM_EPS).to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates `x` [B, L, N, K] by tables [L, 1, K], in rotate-half form and float32."""
    wide = x.float()
    a, b = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-b, a), dim=-1) * sin).to(x.dtype)


class Embedding(nn.Module):
    """A table [rows, D] with standard deviation D**-0.5."""

    def __init__(self, rows: int, features: int):
        super().__init__()
        self.embedding_weight = nn.Parameter(truncated_normal(rows, features, std=features**-0.5))


class PuzzleTable(nn.Module):
    """Puzzle rows, zero at first; a buffer, because a sparse optimiser of its own trains them."""

    weights: Tensor

    def __init__(self, rows: int, features: int):
        super().__init__()
        self.register_buffer("weights", torch.zeros(rows, features))


class SwiGLU(nn.Module):
    """Gated feed-forward network over the last axis."""

    def __init__(self, features: int, expansion: float):
        super().__init__()
        # With 2 / 3 the three matrices have as many parameters as the two of a plain MLP.
        width = -(-round(expansion * features * 2 / 3) // 256) * 256
        self.gate_up_proj = linear(features, 2 * width)
        self.down_proj = linear(width, features)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `x` [..., D] to the same shape."""
        gate, up = self.gate_up_proj(x).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class Attention(nn.Module):
    """Full multi-head self-attention with rotary positions where tables are given."""

    def __init__(self, features: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv_proj = linear(features, 3 * features)
        self.o_proj = linear(features, features)

    def forward(self, x: Tensor, rope: Rope | None) -> Tensor:
        """Attends within `x` [B, L, D]; `rope` holds cos and sin, [L, 1, K] each."""
        # [B, L, 3 D] as [B, L, 3, N, K].
        q, k, v = self.qkv_proj(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        if rope is not None:
            q = rotate(q, *rope)
            k = rotate(k, *rope)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Post-norm block; with `mlp_t` a SwiGLU over the token axis replaces attention."""

    def __init__(self, length: int, features: int, heads: int, expansion: float, mlp_t: bool):
        super().__init__()
        self.mixes_by_mlp = mlp_t
        if mlp_t:
            self.mlp_t = SwiGLU(length, expansion)
        else:
            self.self_attn = Attention(features, heads)
        self.mlp = SwiGLU(features, expansion)

    def forward(self, x: Tensor, rope: Rope | None) -> Tensor:
        """Maps `x` [B, L, D] to the same shape."""
        if self.mixes_by_mlp:
            x = x.transpose(1, 2)
            x = rms_norm(x + self.mlp_t(x)).transpose(1, 2)
        else:
            x = rms_norm(x + self.self_attn(x, rope))
        return rms_norm(x + self.mlp(x))
