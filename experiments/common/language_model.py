"""Flags that choose a language model and how it reads and writes."""

import copy
import dataclasses
from typing import Any

from absl import flags

from hrm_jax.convert import catalogue
from hrm_jax.convert.holding import HOLDINGS
from hrm_jax.convert.language import LoadedLanguageModel, load_language_model
from hrm_jax.core.config import check
from hrm_jax.inference.text.sharing import share
from hrm_jax.inference.text.writing import Writer

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "model",
    None,
    f"a model's or a run's folder, a .gguf file, or one of {', '.join(catalogue.MODELS)} "
    "(--mode=models); the best of those that are there if unset",
)
flags.DEFINE_enum(
    "dtype",
    "auto",
    HOLDINGS,
    "of weights: auto keeps quantised files as they are; int8 and int4 quantise others",
)
flags.DEFINE_multi_string(
    "stop_token",
    [],
    "name of a special token that ends a completion too, as <|im_end|>. May be given again",
)
flags.DEFINE_bool(
    "heal",
    True,
    "take the last tokens of a prompt back where it may end within a token, and write them anew",
)
flags.DEFINE_integer(
    "speculate",
    None,
    "propose so many tokens at once where a text repeats what stood before, 0 for none; if unset, "
    "7 where that surely changes no text (quantised models of Llama's family on CPU)",
    lower_bound=0,
)
flags.DEFINE_bool(
    "suffix_first",
    False,
    "read the text behind a hole before the one before it, for models that were trained on both "
    "orders: a change before the hole then leaves it known",
)
flags.DEFINE_bool(
    "reuse_shifted",
    False,
    "do not read again what stands behind a change in a prompt either: faster, but what is written "
    "then depends on what was read before",
)
flags.DEFINE_bool(
    "prompts_are_prefixes", False, "tokens of a prompt see each other, for models trained so"
)
flags.DEFINE_integer(
    "model_devices",
    1,
    "devices that share each layer of a model that is too large for one; with --dtype=bfloat16",
    lower_bound=1,
)


def load_model() -> LoadedLanguageModel:
    """Returns the model of `--model`, with what `--stop_token` names among its ends.

    Raises:
      ConfigError, WeightsError, ValueError, OSError: as `load_language_model` and `share`;
        ConfigError also for an end that the model does not have.
    """
    # Without a name the best that is there, and one is fetched only where none is.
    loaded = load_language_model(FLAGS.model or catalogue.best(), dtype=FLAGS.dtype)
    if FLAGS.model_devices > 1:
        model, variables = share(loaded.model, loaded.variables, FLAGS.model_devices)
        loaded = dataclasses.replace(loaded, model=model, variables=variables)
    markers = loaded.tokenizer.markers
    for name in FLAGS.stop_token:
        check(
            name in markers,
            "--stop_token",
            expected=f"a special token of the model ({', '.join(sorted(markers)[:12])}, ...)",
            got=name,
            remedy="name one of them, or give a text by --stop",
        )
    # A copy, as ends that a flag adds must not become those of the tokenizer that was loaded.
    tokenizer: Any = copy.copy(loaded.tokenizer)
    tokenizer.eos_tokens += tuple(markers[name].token for name in FLAGS.stop_token)
    return dataclasses.replace(loaded, tokenizer=tokenizer)


def make_writer(loaded: LoadedLanguageModel, **settings: Any) -> Writer:
    """Returns a writer for a model, as the flags say.

    Args:
      loaded: the model.
      **settings: of the writer, besides those that are flags here; `max_length` is the longest
        text that the model was trained on by default.
    """
    return Writer(
        loaded.model,
        loaded.variables,
        loaded.tokenizer,
        # A caller's own length goes before the model's.
        **{"max_length": max_length(loaded.model), **settings},
        prompts_are_prefixes=FLAGS.prompts_are_prefixes,
        heal=FLAGS.heal,
        speculate=FLAGS.speculate,
        suffix_first=FLAGS.suffix_first,
        reuse_shifted=FLAGS.reuse_shifted,
    )


def max_length(model: Any) -> int:
    """Returns the longest text a model was trained on; for HRM on Llama, that of its foundation."""
    # Only HRM on Llama has a `foundation` in its config.
    return getattr(model.config, "foundation", model.config).max_length
