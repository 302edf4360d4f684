"""Kernels compiled for the platform at hand: the entry points, and the types they take."""

from hrm_kernels.attention import attention, explain
from hrm_kernels.choice import Choice, UnsupportedError
from hrm_kernels.decode import KVCache, decode_attention
from hrm_kernels.mask import Mask
from hrm_kernels.norm import rms_norm
from hrm_kernels.operands import Rope
from hrm_kernels.quantized import quantized_product, refuses_quantized, rows_are_independent
from hrm_kernels.quantized_matrix import (
    Layout,
    QuantizedMatrix,
    concatenate,
    dequantize,
    layout_of,
    pack,
    quantize,
    take_rows,
)

__all__ = [
    "Choice",
    "KVCache",
    "Layout",
    "Mask",
    "QuantizedMatrix",
    "Rope",
    "UnsupportedError",
    "attention",
    "concatenate",
    "decode_attention",
    "dequantize",
    "explain",
    "layout_of",
    "pack",
    "quantize",
    "quantized_product",
    "refuses_quantized",
    "rms_norm",
    "rows_are_independent",
    "take_rows",
]
