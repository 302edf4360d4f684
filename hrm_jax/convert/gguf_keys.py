"""What the keys of a GGUF file ask of a decoder, and which of them are refused.

A key that changes what a model computes is applied, refused by name, or known to change nothing
here. A key of the model that is not known is refused unless its value switches nothing on: a file
that asks for what is not implemented must not be read as if it did not ask.
"""

from typing import Any

from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.core.config import check
from hrm_jax.nn.rope import RopeScaling

_APPLIED = frozenset(
    [
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.layer_norm_rms_epsilon",
        "attention.sliding_window",
        "rope.dimension_count",
        "rope.freq_base",
        "rope.scaling.type",
        "rope.scaling.factor",
        "rope.scale_linear",
    ]
)
_HARMLESS = frozenset(
    [
        "vocab_size",
        "tensor_data_layout",
        "pooling_type",
        "rope.scaling.original_context_length",
        "rope.scaling.finetuned",
        "rope.scaling.yarn_attn_factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "rope.scaling.yarn_ext_factor",
        "rope.scaling.yarn_log_multiplier",
    ]
)
"""They say what tensors say too, what a model was made from, or belong to a scaling of type yarn,
which is refused; `pooling_type` is of those who want one vector of a text."""

_FACTORS = frozenset(
    [
        "rope.scaling.attn_factor",
        "logit_scale",
        "residual_scale",
        "embedding_scale",
        "attention.output_scale",
        "expert_weights_scale",
    ]
)
"""Factors: 1 changes nothing, and 0 stands for none."""


def check_keys(file: GgufFile) -> None:
    """Refuses keys of the model that ask for what is not implemented.

    Raises:
      ConfigError: there is one; the message names it.
    """
    heads = file.of_model("attention.head_count")
    check(
        isinstance(heads, int) and heads > 0,
        f"{file.architecture}.attention.head_count",
        expected="a number of heads, the same in all layers",
        got=heads,
        remedy="no other is implemented",
    )
    # The usual size, unless the file states another.
    head_size = file.of_model("embedding_length") // heads
    head_size = file.of_model("attention.key_length", head_size)
    neutral: dict[str, tuple[Any, ...]] = dict.fromkeys(_FACTORS, (0, 1))
    neutral["attention.causal"] = (True,)
    neutral["attention.value_length"] = (head_size,)
    # The usual scale may be stated in full.
    neutral["attention.scale"] = (0, head_size**-0.5)
    prefix = f"{file.architecture}."
    for key in file.keys:
        name = key.removeprefix(prefix)
        # Without the prefix it is no key of the model.
        if name == key or name in _APPLIED or name in _HARMLESS:
            continue
        value = file.get(key)
        allowed = neutral.get(name, (0,))
        values = value if isinstance(value, list) else [value]
        # An empty text switches nothing on.
        check(
            all(one == "" or any(_equal(one, good) for good in allowed) for one in values),
            key,
            expected=" or ".join(f"{good:g}" for good in allowed),
            got=value,
            remedy="no other is implemented; take another file or program for this model",
        )


def _equal(value: Any, wanted: float) -> bool:
    # Relative, as files hold float32; 0 has to be 0.
    return isinstance(value, int | float) and abs(value - wanted) <= 1e-6 * abs(wanted)


def linear_scaling(file: GgufFile) -> RopeScaling | None:
    """Returns the linear scaling of rotary positions that the metadata asks for, or None.

    A factor without a type means a linear one, and `rope.scale_linear` is its name in old files.

    Raises:
      ConfigError: the scaling is of another type, or has no factor.
    """
    kind = file.of_model("rope.scaling.type", "")
    check(
        kind in ("", "none", "linear"),
        "rope.scaling.type",
        expected="'none' or 'linear'",
        got=kind,
        remedy="no other is implemented",
    )
    if kind == "none":
        return None
    # 0 stands for no factor.
    factor = file.of_model("rope.scaling.factor", 0.0) or file.of_model("rope.scale_linear", 0.0)
    check(
        factor > 0 or not kind,
        "rope.scaling.factor",
        expected="more than 0",
        got=factor,
        remedy="fetch the file anew",
    )
    return RopeScaling("linear", factor) if factor not in (0, 1) else None
