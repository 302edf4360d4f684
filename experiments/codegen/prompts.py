"""Prompts from flags and files: texts, texts with a hole, and conversations."""

import dataclasses
import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags, logging

from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core import files
from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.chat import Message
from hrm_jax.inference.text.prompts import PromptError, marked_prompt

FLAGS = flags.FLAGS
HOLE = "<FILL>"
STANDARD_INPUT = "-"
_NAME = re.compile(r"<[|\uff5c][^<>|\uff5c\s]{1,40}[|\uff5c]>")
"""A special token's name, as most models write them: `<|im_start|>`."""

flags.DEFINE_multi_string(
    "prompt", None, f"text to go on from; {HOLE} in it marks a hole to fill. May be given again"
)
flags.DEFINE_multi_string(
    "prompt_file",
    None,
    "file with a prompt, - for standard input; *.jsonl holds many, an object with prompt and, for "
    "a hole, suffix in each line. May be given again",
)
flags.DEFINE_enum(
    "prompt_format",
    None,
    ["text", "jsonl", "json"],
    "of --prompt_file: one prompt as it stands, an object a line, or with --chat one conversation; "
    "if unset, files *.jsonl and with --chat *.json are what they say, others are text",
)
flags.DEFINE_string("suffix", None, "text after the hole, for a single prompt without a mark")
flags.DEFINE_bool(
    "chat",
    False,
    "write the prompt as the user's turn of a conversation, by the model's chat template. A file "
    "*.json is a list of messages with role and content; a line of *.jsonl may have them as "
    "messages, with tools or not",
)
flags.DEFINE_string("system", None, "with --chat: what the system says before the first turn")
flags.DEFINE_bool(
    "special",
    False,
    "read names of special tokens in prompts, such as <|im_start|>, as these tokens; for prompts "
    "that are yours alone, as others' texts could forge them",
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What one text is to be written from.

    Attributes:
      text: what to go on from, with a hole or not; empty for a conversation.
      messages: the turns of a conversation; None for a text.
      tools: JSON schemas of the functions that the model may call in a conversation.
      others: an identifier, a task's name, and whatever else stood beside the prompt in a file,
        which goes into the line of output.
    """

    text: Prompt = dataclasses.field(default_factory=lambda: Prompt(""))
    messages: Sequence[Message] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def prompt(self, loaded: LoadedLanguageModel) -> Prompt:
        """Returns the prompt for a model.

        Raises:
          ChatError: as `conversation`.
        """
        if self.messages is not None:
            return loaded.conversation(self.messages, tools=self.tools)
        if FLAGS.special:
            _warn_of_unknown(self.text.prefix, loaded.tokenizer)
            return marked_prompt(loaded.tokenizer, self.text.prefix)
        return self.text


def read_prompts() -> list[Asked]:
    """Returns the prompts of all flags, in their order, those of `--prompt` first.

    Raises:
      PromptError: a file does not hold prompts, a text has several holes, or flags contradict each
        other.
      JsonError, TextError: a file is not JSON, or not UTF-8.
      OSError: a file cannot be read.
    """
    prompts = [_from_text(text) for text in FLAGS.prompt or []]
    for name in FLAGS.prompt_file or []:
        prompts += _read_file(name)
    if not prompts:
        raise app.UsageError("--mode=generate needs --prompt or --prompt_file", exitcode=2)
    # One suffix cannot belong to several prompts, nor be a second one.
    if FLAGS.suffix is not None:
        if len(prompts) > 1 or prompts[0].text.suffix is not None or FLAGS.chat:
            raise PromptError("--suffix: expected with a single prompt that has no hole of its own")
        text = dataclasses.replace(prompts[0].text, suffix=FLAGS.suffix)
        prompts = [dataclasses.replace(prompts[0], text=text)]
    if FLAGS.special:
        if FLAGS.chat:
            raise PromptError("--special: expected without --chat, whose template writes markers")
        if any(one.text.suffix is not None for one in prompts):
            raise PromptError(
                f"--special: expected prompts without {HOLE} and --suffix; write the marks of the "
                "hole by their names"
            )
    if FLAGS.system is not None and not FLAGS.chat:
        raise PromptError("--system: expected with --chat; add it")
    return prompts


def _read_file(name: str) -> list[Asked]:
    if name == STANDARD_INPUT:
        # Bytes: `sys.stdin` would decode them as the locale says, which need not be UTF-8.
        text = files.decode_text(sys.stdin.buffer.read(), "standard input")
    else:
        text = files.read_text(pathlib.Path(name))
    place = "standard input" if name == STANDARD_INPUT else name
    form = _format_of(name, text, place)
    if form == "text":
        return [_from_text(text)]
    if form == "json":
        return [_from_json(text, place)]
    # Not `splitlines`: JSON's texts may hold U+2028 and U+0085, which it takes for line ends.
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise PromptError(f"{place}: expected an object with a prompt in each line, got no lines")
    return [_from_json(line, f"{place}, line {number}") for number, line in lines]


def _format_of(name: str, text: str, place: str) -> str:
    """Returns a file's format, as the flag or its name says.

    Raises:
      PromptError: neither does, and it looks like prompts in JSON.
    """
    if FLAGS.prompt_format is not None:
        return FLAGS.prompt_format
    if name.endswith(".jsonl"):
        return "jsonl"
    if name.endswith(".json") and FLAGS.chat:
        return "json"
    # Taken for one prompt, a file of many would give one text, without a word of warning.
    if _looks_like_prompts(text) or _looks_like_prompts(text.partition("\n")[0]):
        raise PromptError(
            f"{place}: expected one prompt, got what may be several in JSON; say which by "
            "--prompt_format=text, jsonl, or with --chat json"
        )
    return "text"


def _looks_like_prompts(text: str) -> bool:
    """Returns whether a text is JSON that has the fields of a prompt, a message or messages."""
    try:
        found = json.loads(text)
    # Not JSON, or nested too deeply to be prompts: a text like any other.
    except (ValueError, RecursionError):
        return False
    # Of a list, a conversation's first message tells.
    first = found[0] if isinstance(found, list) and found else found
    return isinstance(first, dict) and not first.keys().isdisjoint({"prompt", "messages", "role"})


def _from_json(text: str, place: str) -> Asked:
    found = files.parse_json(text, place)
    # A bare list is a conversation, and so is an object that has one with more beside it.
    if isinstance(found, list) and FLAGS.chat:
        found = {"messages": found}
    fields = found if isinstance(found, dict) else {}
    if FLAGS.chat and "messages" in fields:
        return _from_messages(fields, place)
    prefix = fields.get("prompt")
    suffix = fields.get("suffix")
    if not isinstance(prefix, str) or not isinstance(suffix, str | None):
        conversation = ", or `messages`" if FLAGS.chat else ""
        remedy = "; add --chat for conversations" if "messages" in fields else ""
        raise PromptError(
            f"{place}: expected an object with the text `prompt`, and `suffix` or not"
            f"{conversation}, got {text!r:.200}{remedy}"
        )
    others = {name: value for name, value in fields.items() if name not in ("prompt", "suffix")}
    if not FLAGS.chat:
        return Asked(Prompt(prefix, suffix), others=others)
    if suffix is not None:
        raise PromptError(f"{place}: expected no suffix with --chat; leave out one of the two")
    return dataclasses.replace(_from_text(prefix), others=others)


def _from_messages(fields: Mapping[str, Any], place: str) -> Asked:
    messages = fields["messages"]
    tools = fields.get("tools")
    if not isinstance(messages, list) or not isinstance(tools, list | None):
        raise PromptError(
            f"{place}: expected a list of messages, and of tools where there are some, got "
            f"{messages!r:.80} and {tools!r:.80}"
        )
    if not fields.keys().isdisjoint({"prompt", "suffix"}):
        raise PromptError(f"{place}: expected `messages` or `prompt`, got both; leave out one")
    if FLAGS.system is not None:
        messages = [_system(), *messages]
    # The turns go into the output as they were given, without what --system added.
    return Asked(messages=messages, tools=tools, others=fields)


def _from_text(text: str) -> Asked:
    """Returns a text as a prompt, split where its hole is; with `--chat` as the user's turn.

    Raises:
      PromptError: it has several holes.
    """
    if FLAGS.chat:
        system = [] if FLAGS.system is None else [_system()]
        return Asked(messages=[*system, {"role": "user", "content": text}])
    # In a conversation the mark is text like any other, so this comes after it.
    prefix, *suffixes = text.split(HOLE)
    if len(suffixes) > 1:
        raise PromptError(f"expected one {HOLE} in a prompt, got {len(suffixes)}; fill one by one")
    return Asked(Prompt(prefix, suffixes[0] if suffixes else None))


def _warn_of_unknown(text: str, tokenizer: Tokenizer) -> None:
    """Warns of what looks like a special token's name and is none of the model's."""
    # Read as text a misspelt marker means something else to the model, and nothing shows it.
    unknown = sorted(set(_NAME.findall(text)) - tokenizer.markers.keys())
    if unknown:
        logging.warning(
            "--special: %s: no special token of this model, so read as text; it has %s, ...",
            ", ".join(unknown),
            ", ".join(sorted(tokenizer.markers)[:12]),
        )


def _system() -> Message:
    return {"role": "system", "content": FLAGS.system}
