"""Flags that choose the model and its sampling, for generating and measuring."""

import copy
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from hrm_jax.convert import catalogue
from hrm_jax.convert.holding import HOLDINGS
from hrm_jax.convert.language import LoadedLanguageModel, load_language_model
from hrm_jax.core.config import check
from hrm_jax.core.files import read_text
from hrm_jax.core.protocols import Completer
from hrm_jax.core.types import Prompt
from hrm_jax.evaluation.suites import chat_form
from hrm_jax.inference.text import grammars
from hrm_jax.inference.text.constraints import Constraint
from hrm_jax.inference.text.python_syntax import PythonSyntax
from hrm_jax.inference.text.sampling import SamplingConfig
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
flags.DEFINE_float("temperature", 0.0, "0 takes the likeliest token, 1 draws as the model believes")
flags.DEFINE_integer("top_k", 0, "draw from so many likeliest tokens; 0 for all")
flags.DEFINE_float("top_p", 1.0, "draw from the likeliest tokens with this probability together")
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
flags.DEFINE_enum(
    "syntax",
    None,
    ["python", "json"],
    "write what is free of syntax errors alone: python goes on from the prompt, json begins anew",
)
flags.DEFINE_string("json_schema", None, "file of a schema; write JSON that it allows alone")
flags.DEFINE_string("grammar", None, "file of a grammar in Lark's form; write its texts alone")
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
flags.DEFINE_integer("max_tokens", 128, "longest completion", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of the first sample; each further one has the next")
flags.DEFINE_integer("samples", 1, "completions of each prompt", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "completions written at once", lower_bound=1)
flags.DEFINE_bool(
    "prompts_are_prefixes", False, "tokens of a prompt see each other, for models trained so"
)


def load_model() -> LoadedLanguageModel:
    """Returns the model of `--model`, with what `--stop_token` names among its ends.

    Raises:
      ConfigError, WeightsError, ValueError, OSError: as `load_language_model`; ConfigError also for
        an end that the model does not have.
    """
    loaded = load_language_model(FLAGS.model or catalogue.best(), dtype=FLAGS.dtype)
    markers = loaded.tokenizer.markers
    for name in FLAGS.stop_token:
        check(
            name in markers,
            "--stop_token",
            expected=f"a special token of the model ({', '.join(sorted(markers)[:12])}, ...)",
            got=name,
            remedy="name one of them, or give a text by --stop",
        )
    tokenizer: Any = copy.copy(loaded.tokenizer)
    tokenizer.eos_tokens += tuple(markers[name].token for name in FLAGS.stop_token)
    return dataclasses.replace(loaded, tokenizer=tokenizer)


def make_writer(loaded: LoadedLanguageModel) -> Writer:
    """Returns a writer for a model, as the flags say."""
    return Writer(
        loaded.model,
        loaded.variables,
        loaded.tokenizer,
        max_length=_max_length(loaded.model),
        batch_size=FLAGS.batch_size,
        prompts_are_prefixes=FLAGS.prompts_are_prefixes,
        sampling=sampling(),
        heal=FLAGS.heal,
        constraint=constraint(),
        speculate=FLAGS.speculate,
        suffix_first=FLAGS.suffix_first,
        reuse_shifted=FLAGS.reuse_shifted,
    )


def make_completer(loaded: LoadedLanguageModel, *, chat: bool) -> Completer:
    """Returns what completes a suite's prompts, as the flags say.

    Args:
      loaded: the model.
      chat: whether prompts are put to it in a conversation.

    Raises:
      ChatError: when it is called: the model was not trained on conversations.
    """
    writer = make_writer(loaded)

    def ask(prompts: Sequence[Prompt], **options: Any) -> list[str | None]:
        asked = [loaded.conversation(chat_form.turns(prompt)) for prompt in prompts]
        return writer.complete(asked, **options)

    return ask if chat else writer.complete


def constraint(*, after_prompt: bool = True) -> Constraint | None:
    """Returns the constraint that the flags ask for, or None.

    Args:
      after_prompt: whether a program goes on from its prompt, which it does but for a chat.

    Raises:
      ConstraintError: a schema or grammar cannot be followed.
      ConfigError: several constraints are asked for.
      OSError: a file cannot be read.
    """
    asked = [name for name in ("syntax", "json_schema", "grammar") if FLAGS[name].value]
    check(
        len(asked) < 2,
        f"--{' and --'.join(asked)}",
        expected="one constraint",
        got=len(asked),
        remedy="leave the others out",
    )
    if FLAGS.json_schema:
        return grammars.json_schema(read_text(pathlib.Path(FLAGS.json_schema)))
    if FLAGS.grammar:
        return grammars.lark(read_text(pathlib.Path(FLAGS.grammar)))
    if FLAGS.syntax == "json":
        return grammars.json_schema("{}")
    return PythonSyntax(after_prompt) if FLAGS.syntax else None


def named_settings() -> str:
    """Returns what shapes the texts of a model, for reports: its sampling, and any constraint."""
    given = [f"{name}={FLAGS[name].value}" for name in ("syntax", "json_schema", "grammar")]
    constraints = [one for one in given if not one.endswith("=None")]
    return ", ".join([str(sampling()), *constraints])


def sampling() -> SamplingConfig:
    """Returns the sampling that the flags ask for; raises ConfigError for values out of range."""
    return SamplingConfig(FLAGS.temperature, FLAGS.top_k, FLAGS.top_p)


def _max_length(model: Any) -> int:
    """Returns the longest text a model was trained on; for HRM on Llama, that of its foundation."""
    # Only HRM on Llama has a `foundation` in its config.
    return getattr(model.config, "foundation", model.config).max_length
