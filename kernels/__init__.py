"""Attention, compiled for the machine at hand: one door, and the types it takes."""

from kernels.attention import attention
from kernels.choice import UnsupportedError
from kernels.decode import KVCache, decode_attention
from kernels.mask import Mask
from kernels.operands import Rope

__all__ = ["KVCache", "Mask", "Rope", "UnsupportedError", "attention", "decode_attention"]
