"""Configs (`arch`) of the original HRM and TRM code as ours, and what weights tell without one."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hrm_jax.convert.pytorch import INNER, without_compiled_prefix
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError, check, replace
from hrm_jax.core.files import JsonError, parse_json, read_text
from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm, trm
from hrm_jax.nn.swiglu import swiglu_width

_REQUIRED = (
    "seq_len",
    "vocab_size",
    "num_puzzle_identifiers",
    "puzzle_emb_ndim",
    "hidden_size",
    "num_heads",
    "expansion",
    "L_layers",
    "pos_encodings",
    "H_cycles",
    "L_cycles",
    "halt_max_steps",
    "halt_exploration_prob",
)
_OPTIONAL = ("rms_norm_eps", "rope_theta")
_RENAMED = {"forward_dtype": "compute_dtype"}


def from_published_config(config: Mapping[str, Any], *, shared_level: bool) -> PuzzleModelConfig:
    """Translates a config of the HRM or the TRM code.

    Args:
      config: the original's fields, e.g. from `all_config.yaml` with the data set's sizes added.
      shared_level: True for TRM. The weights tell: TRM has no `H_level`.

    Raises:
      KeyError: if a field is missing.
      ConfigError: if a field has a wrong type, or the fields do not fit together.
    """
    required = _REQUIRED if shared_level else (*_REQUIRED, "H_layers")
    if missing := [name for name in required if name not in config]:
        raise KeyError(f"the original's config lacks {', '.join(missing)}")
    return replace(_published(shared_level), _translate(config, shared_level))


def is_published_config(config: Mapping[str, Any]) -> bool:
    """Returns whether any field is one of the originals' configs."""
    return bool(_translate(config, shared_level=True) | _translate(config, shared_level=False))


def infer_config(
    state_dict: Mapping[str, np.ndarray],
    arch: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[PuzzleModelConfig, dict[str, str]]:
    """Returns the config of published weights, as far as their shapes tell it.

    Shapes do not tell the heads, the cycles, the steps and, without learned positions or a token
    MLP, the puzzle's length. These take the value of `hrm()` or `trm()` unless they are given.

    Args:
      state_dict: arrays by published name, with or without `_orig_mod.`.
      arch: the original's config or a part of it; has precedence over shapes.
      overrides: fields of ours; have precedence over both.

    Returns:
      The config, and where each field's value is from: "override", "arch", "shapes", "default".

    Raises:
      WeightsError: these are not weights of HRM or TRM.
      ConfigError: the fields do not fit together.
    """
    told, length = _told_by_shapes(without_compiled_prefix(state_dict))
    shared_level = told["shared_level"]
    overrides = dict(overrides or {})
    given = _translate(arch or {}, shared_level) | overrides
    config = replace(_published(shared_level), told | given)
    # Shapes tell prefix and puzzle together, and the length of the prefix is known from the config.
    if length is not None and "seq_len" not in given:
        check(
            config.prefix_length < length,
            "puzzle_emb_len",
            expected=f"fewer than the {length} tokens that the shapes tell",
            got=config.prefix_length,
            remedy="set it to what the model was trained with",
        )
        told["seq_len"] = length - config.prefix_length
        config = replace(config, {"seq_len": told["seq_len"]})
    origins = dict.fromkeys(vars(config), "default")
    origins |= dict.fromkeys(told, "shapes") | dict.fromkeys(given, "arch")
    # Later entries replace earlier ones: the order is that of precedence.
    return config, origins | dict.fromkeys(overrides, "override")


def _published(shared_level: bool) -> PuzzleModelConfig:
    return trm() if shared_level else hrm()


def _translate(config: Mapping[str, Any], shared_level: bool) -> dict[str, Any]:
    """Returns the fields of ours that an original's config states; TRM has no `H_layers`."""
    own = "puzzle_emb_len" if shared_level else "H_layers"
    names = {name: name for name in (*_REQUIRED, *_OPTIONAL, own)} | _RENAMED
    fields = {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    if shared_level and "mlp_t" in config:
        fields["mixing"] = "mlp" if config["mlp_t"] else "attention"
    if shared_level and "no_ACT_continue" in config:
        fields["q_continue"] = not config["no_ACT_continue"]
    return fields


def _told_by_shapes(weights: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], int | None]:
    """Returns the fields that shapes tell, and L (tokens with prefix), None if they do not tell it.

    `seq_len` is not among the fields: it depends on the length of the prefix.
    """

    def matrix(name: str) -> tuple[int, int] | None:
        array = weights.get(INNER + name)
        return None if array is None or array.ndim != 2 else (array.shape[0], array.shape[1])

    def layers(level: str) -> int:
        pattern = re.compile(re.escape(f"{INNER}{level}.layers.") + r"(\d+)\.")
        return len({match[1] for match in map(pattern.match, weights) if match})

    names = "embed_tokens.embedding_weight", "L_level.layers.0.mlp.down_proj.weight"
    tokens, mlp = map(matrix, names)
    if tokens is None or mlp is None:
        raise WeightsError(
            f"expected weights of HRM or TRM, with {' and '.join(INNER + name for name in names)}; "
            f"found {', '.join(sorted(weights)[:5]) or 'no tensors'}"
        )
    V, D = tokens
    # Linear weights are [out, in].
    _, width = mlp
    fields: dict[str, Any] = {"vocab_size": V, "hidden_size": D, "L_layers": layers("L_level")}
    fields["shared_level"] = not layers("H_level")
    if not fields["shared_level"]:
        fields["H_layers"] = layers("H_level")
    # Every expansion of this width is the same model, so the published one is kept if it fits.
    fits = swiglu_width(D, hrm().expansion) == width
    # swiglu_width rounds, so many expansions give one width; 1.5 undoes its factor of 2 / 3.
    fields["expansion"] = hrm().expansion if fits else 1.5 * width / D
    rows = matrix("puzzle_emb.weights")
    positions = matrix("embed_pos.embedding_weight")
    fields["puzzle_emb_ndim"] = rows[1] if rows else 0
    if rows:
        fields["num_puzzle_identifiers"] = rows[0]
    else:
        # Without a table there is no prefix, though TRM's own config has one.
        fields["puzzle_emb_len"] = 0
    token_mlp = matrix("L_level.layers.0.mlp_t.gate_up_proj.weight")
    fields["mixing"] = "mlp" if token_mlp else "attention"
    if positions:
        fields["pos_encodings"] = "learned"
    elif token_mlp:
        fields["pos_encodings"] = "none"  # a token MLP reads no rotary positions
    # A token MLP is as wide as there are tokens.
    length = positions[0] if positions else token_mlp[1] if token_mlp else None
    return fields, length


def read_arch(path: pathlib.Path) -> dict[str, Any]:
    """Returns the fields of an original's config file, without those that refer to other fields.

    Raises:
      ConfigError, JsonError, TextError: it is not JSON or YAML with such fields.
      OSError: it cannot be read.
    """
    import yaml

    text = read_text(path)
    try:
        # JSON's 1e-5 is text to YAML.
        content = parse_json(text, str(path)) if path.suffix == ".json" else yaml.safe_load(text)
    except JsonError:
        raise
    # ValueError: a date that does not exist.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError("--arch", f"expected JSON or YAML in {path}, got {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigError("--arch", f"expected fields in {path}, got {type(content).__name__}")
    # Hydra's configs have the model's fields under `arch`.
    content = _unwrapped(content)
    fields = content.get("arch", content)
    if not isinstance(fields, Mapping):
        raise ConfigError("--arch", f"expected fields in arch of {path}, got {fields!r}")
    if not is_published_config(fields):
        raise ConfigError(
            "--arch",
            f"expected fields such as hidden_size and H_cycles in {path} or in its arch, got "
            f"{', '.join(map(str, fields)) or 'none'}; name the run's all_config.yaml",
        )
    # An interpolation such as ${.hidden_size} is left to what the weights tell.
    return {n: v for n, v in fields.items() if v is not None and not str(v).startswith("${")}


def _unwrapped(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields as they were before Weights & Biases wrote each as {desc, value}."""

    def value_of(field: Any) -> Any:
        wrapped = (
            isinstance(field, Mapping) and "value" in field and set(field) <= {"desc", "value"}
        )
        return field["value"] if wrapped else field

    return {name: value_of(field) for name, field in content.items()}
