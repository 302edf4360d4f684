"""Converts weights between PyTorch and model folders, bit for bit.

    python -m experiments.convert --input=step_26040 --arch=all_config.yaml --output=my_model
    python -m experiments.convert --input=step_26040 --config.num_heads=4 --output=my_model
    python -m experiments.convert --input=my_model --output=weights.pt --compiled_prefix

A file becomes a model folder (`config.json` and `weights.safetensors`), a model folder a file.
`docs/weights.md` has the names, the shapes and what the shapes tell of the config.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import config_flags as ml_flags
from rich.console import Console

from experiments.common import command, config_flags
from experiments.common.terminal import Table, make_console
from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.model_folder import load_model, save_model
from hrm_jax.convert.published_config import infer_config, read_arch
from hrm_jax.convert.pytorch import from_state_dict, to_state_dict
from hrm_jax.convert.weights import StateDict
from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm
from hrm_jax.models.puzzle_model import PuzzleModel

_ORIGINS = {
    "override": "--config",
    "arch": "--arch",
    "shapes": "the shapes",
    "default": "assumed: the default",
}

_INPUT = flags.DEFINE_string(
    "input", None, "a PyTorch or safetensors file, or a model folder", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "the model folder, or the file, to write", required=True
)
_ARCH = flags.DEFINE_string(
    "arch", None, "the original's config, .yaml or .json: what the shapes do not tell is read there"
)
_COMPILED_PREFIX = flags.DEFINE_bool(
    "compiled_prefix", False, "to a file: names as torch.compile has them, with _orig_mod. before"
)
config_flags.define({"published": hrm()}, default="published")


def main() -> None:
    """Converts the file or folder that --input names."""
    # Written to a file, a table has no terminal to fit into.
    console = make_console()
    convert = _export if pathlib.Path(_INPUT.value).is_dir() else _import
    convert(pathlib.Path(_INPUT.value), pathlib.Path(_OUTPUT.value), console)


def _import(source: pathlib.Path, folder: pathlib.Path, console: Console) -> None:
    state_dict = load_state_dict(source)
    # Only fields that the command line names: the preset's defaults would hide what the shapes
    # tell.
    overrides = ml_flags.get_override_values(flags.FLAGS["config"])
    config, origins = infer_config(state_dict, _arch_fields(), overrides)
    # Before anything is written: the table tells what was assumed, even where the weights do not
    # fit.
    console.print(_table(config, {name: _ORIGINS[origin] for name, origin in origins.items()}))
    save_model(folder, config, from_state_dict(PuzzleModel(config), state_dict))
    _report(console, state_dict, folder)


def _arch_fields() -> Mapping[str, Any]:
    return {} if _ARCH.value is None else read_arch(pathlib.Path(_ARCH.value))


def _export(folder: pathlib.Path, path: pathlib.Path, console: Console) -> None:
    model, variables = load_model(folder)
    state_dict = to_state_dict(variables)
    save_state_dict(path, state_dict, compiled_prefix=_COMPILED_PREFIX.value)
    console.print(_table(model.config, dict.fromkeys(vars(model.config), "config.json")))
    _report(console, state_dict, path)


def _table(config: PuzzleModelConfig, origins: Mapping[str, str]) -> Table:
    table = Table("field", "value", "from")
    for field in dataclasses.fields(config):
        table.add_row(field.name, str(getattr(config, field.name)), origins[field.name])
    return table


def _report(console: Console, state_dict: StateDict, path: pathlib.Path) -> None:
    parameters = sum(array.size for array in state_dict.values())
    console.print(f"{len(state_dict)} tensors, {parameters:,} parameters: written to {path}")


if __name__ == "__main__":
    command.run(main)
