"""HRM, TRM, HRM-Text and Llama's family as functional Flax modules, with what trains and runs them.

Public is what this module and `hrm_kernels` export. A name is imported from its module when it is
first used, so that `import hrm_jax` loads neither jax nor anything else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_jax.convert.language import load_language_model, reason_on, save_language_model
    from hrm_jax.convert.model_folder import load_model, save_model
    from hrm_jax.core.texts import TextBatch
    from hrm_jax.core.types import Batch
    from hrm_jax.inference.text.sampling import SamplingConfig
    from hrm_jax.inference.text.writing import Writer
    from hrm_jax.losses.act import act_loss
    from hrm_jax.models.hrm_text import HrmText, hrm_text
    from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm, trm
    from hrm_jax.models.puzzle_model import PuzzleModel
    from hrm_jax.training.optimizers import OptimConfig
    from hrm_jax.training.run import train
    from hrm_jax.training.run_config import LoopConfig, TrainConfig
    from hrm_jax.training.task import Task

_MODULES = {
    "Batch": "core.types",
    "HrmText": "models.hrm_text",
    "LoopConfig": "training.run_config",
    "OptimConfig": "training.optimizers",
    "PuzzleModel": "models.puzzle_model",
    "PuzzleModelConfig": "models.puzzle_config",
    "SamplingConfig": "inference.text.sampling",
    "Task": "training.task",
    "TextBatch": "core.texts",
    "TrainConfig": "training.run_config",
    "Writer": "inference.text.writing",
    "act_loss": "losses.act",
    "hrm": "models.puzzle_config",
    "hrm_text": "models.hrm_text",
    "load_language_model": "convert.language",
    "load_model": "convert.model_folder",
    "reason_on": "convert.language",
    "save_language_model": "convert.language",
    "save_model": "convert.model_folder",
    "train": "training.run",
    "trm": "models.puzzle_config",
}

__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Returns a public name, imported from its module now (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    # Kept, so that the next access does not come here.
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    """Returns what is public, for completion in a shell."""
    return list(__all__)
