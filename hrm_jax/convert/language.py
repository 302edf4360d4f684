"""Language models by path or name, with their tokenizers: one entry point for all formats."""

import copy
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import PRNGKeyArray

from hrm_jax.convert import catalogue, holding, hrm_llama, hrm_text_config, llama_config
from hrm_jax.convert.chat_templates import (
    OTHERS_FOLDER,
    TEMPLATE_FILE,
    gguf_chat_template,
    read_chat_template,
    write_chat_template,
)
from hrm_jax.convert.folders import replacing_folder
from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.convert.gguf_llama import load_gguf_llama
from hrm_jax.convert.gguf_tokenizer import gguf_tokenizer
from hrm_jax.convert.hrm_text import load_hrm_text, published_hrm_text
from hrm_jax.convert.hugging_face import CONFIG, eos_tokens, is_model_file, read_config, write_model
from hrm_jax.convert.llama import load_llama, published_llama
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError, check, replace
from hrm_jax.core.files import read_json_object
from hrm_jax.core.protocols import LanguageModel, Tokenizer
from hrm_jax.core.texts import Prompt
from hrm_jax.core.types import Variables
from hrm_jax.data.text.chat import ChatError, ChatTemplate, Message, conversation
from hrm_jax.data.text.tokenizers import load_tokenizer
from hrm_jax.data.text.wrapped_tokenizer import CONFIG_FILE, TOKENIZER_FILE
from hrm_jax.models.hrm_llama import HrmLlama, HrmLlamaConfig
from hrm_jax.models.hrm_text import HrmText
from hrm_jax.models.llama import Llama

RUN_MODEL = "model"
"""The folder within a finished run's folder that this module, and transformers, read."""

_GENERATION = "generation_config.json"
_ADAPTER = "adapter_config.json"


@dataclasses.dataclass(frozen=True)
class LoadedLanguageModel:
    """A model with its values and its tokenizer.

    Attributes:
      model: the model.
      variables: its values.
      tokenizer: its tokenizer.
      chat_template: how a conversation is written as a text; None for a model that was not trained
        on any.
      origin: path or name that the weights were loaded by; of HRM on Llama, its foundation's.
    """

    model: LanguageModel
    variables: Variables
    tokenizer: Tokenizer
    chat_template: ChatTemplate | None = None
    origin: str | None = None

    def conversation(self, messages: Sequence[Message], **options: Any) -> Prompt:
        """Returns the prompt of a conversation; see `data.text.chat.conversation`.

        Args:
          messages: the turns, such as `{"role": "user", "content": "Hello"}`.
          **options: `tools`, `now`, and the `variables` that the template reads.

        Raises:
          ChatError: the model has no chat template, or as `conversation`.
        """
        if self.chat_template is None:
            raise ChatError(
                f"{self.origin} has no chat template: it was not trained on conversations; leave "
                "out --chat and write a prompt that it goes on from"
            )
        return conversation(self.tokenizer, self.chat_template, messages, **options)


def load_language_model(
    path: str | os.PathLike[str], *, dtype: str = "float32"
) -> LoadedLanguageModel:
    """Loads a model and its tokenizer.

    Args:
      path: a folder with a `config.json`, weights and a tokenizer (HRM-Text, Llama, Mistral, Qwen2,
        Qwen3, or HRM on Llama), or one whose folder `model` is such a one, as a training run's
        is; a `.gguf` file; or a name in `catalogue.MODELS`, which is fetched if it is not there.
      dtype: to hold the weights in, one of `holding.HOLDINGS`: "auto" keeps a quantised file's
        weights as they are stored where this machine is fast with them. Activations are bfloat16
        with "bfloat16", float32 with all others.

    Raises:
      ConfigError: the config is broken, or asks for what is not implemented.
      WeightsError: the weights are damaged or do not fit; or a package is missing.
      TokenizerError: the tokenizer cannot be used.
      OSError: a file is absent or cannot be read.
    """
    dtype = holding.resolved(dtype)
    place = locate(path)
    # A name stays a name, by which a folder that refers to it is read on another machine, too.
    origin = str(path) if path in catalogue.MODELS else str(place)
    # A single file is GGUF, as `locate` has checked; it holds the tokenizer too.
    if place.is_file():
        return _load_gguf(place, origin, dtype)
    model, variables, foundation = _load_folder(place, dtype)
    tokenizer = _tokenizer(place)
    template = read_chat_template(place)
    _check_vocabulary(place, model, tokenizer)
    return LoadedLanguageModel(model, variables, tokenizer, template, foundation or origin)


def save_language_model(folder: str | os.PathLike[str], loaded: LoadedLanguageModel) -> None:
    """Writes a folder that `load_language_model` reads: the whole new one or none.

    Args:
      folder: made if absent; replaced if it holds what this writes, and nothing else.
      loaded: the model.

    Raises:
      ConfigError: there is no way to write its config.
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    model = loaded.model
    # All that is written here: a folder with anything else is left alone.
    beside = (TOKENIZER_FILE, CONFIG_FILE, TEMPLATE_FILE, OTHERS_FOLDER)
    with replacing_folder(folder, lambda n: is_model_file(n) or n in beside) as saving:
        if isinstance(model, HrmText):
            write_model(saving, *published_hrm_text(model.config, loaded.variables))
        elif isinstance(model, Llama):
            write_model(saving, *published_llama(model.config, loaded.variables))
        elif isinstance(model, HrmLlama):
            origin = loaded.origin or ""
            weights = locate(origin) if model.config.freeze_foundation else None
            # Replacing the folder would delete the foundation that the new config refers to.
            if weights is not None and weights.resolve() == Path(folder).resolve():
                raise WeightsError(f"{folder} holds the foundation of this model; choose another")
            hrm_llama.write_hrm_llama(saving, model, loaded.variables, origin, weights)
        else:
            raise TypeError(f"expected HrmText, Llama or HrmLlama, got {type(model).__name__}")
        loaded.tokenizer.save(saving)
        if loaded.chat_template is not None:
            write_chat_template(saving, loaded.chat_template)


def reason_on(foundation: LoadedLanguageModel, key: PRNGKeyArray, **fields) -> LoadedLanguageModel:
    """Returns a foundation with fresh reasoning modules; at first its logits do not change.

    Args:
      foundation: a model of Llama's family. A frozen one is not saved with the reasoning modules:
        if it was trained after it was loaded, save it and load it again before.
      key: of the modules' values.
      **fields: of `HrmLlamaConfig`, except `foundation`.

    Raises:
      ConfigError: it is of another family, or the fields do not fit together.
    """
    if not isinstance(foundation.model, Llama):
        kind = type(foundation.model).__name__
        raise ConfigError("foundation", f"expected a model of Llama's family, got {kind}")
    fields["foundation"] = foundation.model.config
    model = HrmLlama(replace(HrmLlamaConfig(), fields))
    variables = model.join(model.init_reasoning(key), foundation.variables)
    return dataclasses.replace(foundation, model=model, variables=variables)


def locate(path: str | os.PathLike[str]) -> Path:
    """Returns the file or folder of a path or name; a model by name is fetched where need be.

    Raises:
      WeightsError: as `catalogue.fetch`; there is none, or it is neither a model's folder nor a
        `.gguf` file.
    """
    if path in catalogue.MODELS:
        return catalogue.fetch(str(path))
    place = Path(path).expanduser().absolute()
    # A run's folder has a `config.json` too, the run's own, which has no `model_type`.
    if (place / RUN_MODEL / CONFIG).is_file() and "model_type" not in _read_json(place / CONFIG):
        return place / RUN_MODEL
    if (place / CONFIG).is_file() or (place.is_file() and place.suffix == ".gguf"):
        return place
    raise WeightsError(
        f"expected a folder with {CONFIG}, a run's folder, a .gguf file, or one of "
        f"{', '.join(catalogue.MODELS)}; {_what_is_at(place)}"
    )


def _what_is_at(place: Path) -> str:
    """Returns why a path is no model, for the end of a message."""
    if (place / _ADAPTER).is_file():
        return (
            f"{place} holds an adapter (LoRA) alone: merge it into its model (merge_and_unload of "
            "peft), and name the folder of the result"
        )
    if place.is_dir():
        return f"{place} is a folder without {CONFIG}"
    if place.suffix == ".safetensors":
        return f"{place} is a file: name the folder that it lies in"
    return f"there is none at {place}"


def _load_gguf(path: Path, origin: str, dtype: str) -> LoadedLanguageModel:
    file = GgufFile(path)
    model, variables = load_gguf_llama(file, dtype)
    # Activations follow from how weights are held, not from what the file says.
    model = Llama(dataclasses.replace(model.config, compute_dtype=holding.compute_dtype(dtype)))
    tokenizer = gguf_tokenizer(file)
    _check_vocabulary(path, model, tokenizer)
    return LoadedLanguageModel(model, variables, tokenizer, gguf_chat_template(file), origin)


def _check_vocabulary(place: Path, model: Any, tokenizer: Any) -> None:
    """Refuses tokens that the model has no embedding of: looked up, they would be other tokens'."""
    rows = model.config.vocab_size
    beyond = range(rows, tokenizer.vocab_size)
    if beyond:
        named = ", ".join(f"{token} ({tokenizer.name(token)})" for token in beyond[:5])
        raise WeightsError(
            f"{place}: the embedding has {rows} rows, and the tokenizer has {len(beyond)} tokens "
            f"beyond them: {named}; take the tokenizer that belongs to these weights"
        )


def _load_folder(folder: Path, dtype: str) -> tuple[LanguageModel, Variables, str | None]:
    """Loads model and values, and for HRM on Llama the path or name of its foundation."""
    stated = read_config(folder).get("model_type")
    # A list, say, is none of the families, and could not even be looked up among them.
    kind = stated if isinstance(stated, str) else ""
    if kind == hrm_text_config.MODEL_TYPE:
        model, variables = load_hrm_text(folder, dtype)
        return (
            HrmText(dataclasses.replace(model.config, compute_dtype=holding.compute_dtype(dtype))),
            variables,
            None,
        )
    if kind in llama_config.ARCHITECTURES:
        model, variables = load_llama(folder, dtype)
        return (
            Llama(dataclasses.replace(model.config, compute_dtype=holding.compute_dtype(dtype))),
            variables,
            None,
        )
    families = (hrm_text_config.MODEL_TYPE, *llama_config.ARCHITECTURES, hrm_llama.MODEL_TYPE)
    check(
        kind == hrm_llama.MODEL_TYPE,
        "model_type",
        expected=f"one of {families}",
        got=stated,
        remedy="no other is implemented",
    )

    # The foundation may have any format that is read here.
    def load_foundation(path: str) -> tuple[Path, Variables]:
        return locate(path), load_language_model(path, dtype=dtype).variables

    return hrm_llama.load_hrm_llama(folder, load_foundation, dtype)


def _tokenizer(folder: Path) -> Tokenizer:
    """Returns the folder's tokenizer, with all tokens at which generation stops as `eos_tokens`."""
    tokenizer: Any = load_tokenizer(folder)
    if (folder / _GENERATION).exists():
        # Instruction-tuned models end a turn with a token that only the generation config names.
        tokenizer = copy.copy(tokenizer)
        ends = eos_tokens(_read_json(folder / _GENERATION).get("eos_token_id"))
        check(
            all(isinstance(end, int) for end in ends),
            f"{folder / _GENERATION}: eos_token_id",
            expected="the number of a token, or a list of them",
            got=ends,
            remedy="correct it",
        )
        tokenizer.eos_tokens = tuple(dict.fromkeys([*tokenizer.eos_tokens, *ends]))
    return tokenizer


def _read_json(path: Path) -> dict[str, Any]:
    """Returns the values of a JSON file; empty if there is no file."""
    return {} if not path.exists() else read_json_object(path)
