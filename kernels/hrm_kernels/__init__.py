"""Attention, compiled for the platform at hand: the entry points, and the types they take."""

from hrm_kernels.attention import attention
from hrm_kernels.choice import UnsupportedError
from hrm_kernels.decode import KVCache, decode_attention
from hrm_kernels.mask import Mask
from hrm_kernels.operands import Rope

__all__ = ["KVCache", "Mask", "Rope", "UnsupportedError", "attention", "decode_attention"]
