"""Attention, behind one public door: `kernels.attention`."""

from kernels.attention import attention

__all__ = ["attention"]
