"""Flags that choose how is written, for generating and measuring."""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.common import language_model
from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core.config import check
from hrm_jax.core.files import read_text
from hrm_jax.core.protocols import Completer
from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.suites import chat_form
from hrm_jax.inference.text import grammars
from hrm_jax.inference.text.constraints import Constraint
from hrm_jax.inference.text.python_syntax import PythonSyntax
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer

FLAGS = flags.FLAGS

flags.DEFINE_float("temperature", 0.0, "0 takes the likeliest token, 1 draws as the model believes")
flags.DEFINE_integer("top_k", 0, "draw from so many likeliest tokens; 0 for all")
flags.DEFINE_float("top_p", 1.0, "draw from the likeliest tokens with this probability together")
flags.DEFINE_enum(
    "syntax",
    None,
    ["python", "json"],
    "write what is free of syntax errors alone: python goes on from the prompt, json begins anew",
)
flags.DEFINE_string("json_schema", None, "file of a schema; write JSON that it allows alone")
flags.DEFINE_string("grammar", None, "file of a grammar in Lark's form; write its texts alone")
flags.DEFINE_integer("max_tokens", 128, "longest completion", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of the first sample; each further one has the next")
flags.DEFINE_integer("samples", 1, "completions of each prompt", lower_bound=1)
flags.DEFINE_integer("batch_size", 8, "completions written at once", lower_bound=1)


def make_writer(loaded: LoadedLanguageModel) -> Writer:
    """Returns a writer for a model, as the flags say."""
    return language_model.make_writer(
        loaded, batch_size=FLAGS.batch_size, sampling=sampling(), constraint=constraint()
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
        # The problem as a request, and the first line of the answer: a block of code.
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
    # Each is a set of texts of its own, and nothing says how two would go together.
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
        # The empty schema allows any JSON.
        return grammars.json_schema("{}")
    return PythonSyntax(after_prompt) if FLAGS.syntax else None


def named_settings() -> str:
    """Returns what shapes the texts of a model, for reports: its sampling, and any constraint."""
    # It becomes part of the settings that a resumed measurement has to agree in.
    given = [f"{name}={FLAGS[name].value}" for name in ("syntax", "json_schema", "grammar")]
    constraints = [one for one in given if not one.endswith("=None")]
    return ", ".join([str(sampling()), *constraints])


def sampling() -> SamplingConfig:
    """Returns the sampling that the flags ask for; raises ConfigError for values out of range."""
    return SamplingConfig(FLAGS.temperature, FLAGS.top_k, FLAGS.top_p)
