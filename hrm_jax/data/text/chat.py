"""Conversations as prompts: renders a model's chat template, safe from what the turns contain.

Templates are Jinja, written for `apply_chat_template` of transformers; what they may use is the
same here: `messages`, `tools`, `documents`, `add_generation_prompt`, names of special tokens such
as `bos_token`, `raise_exception`, `strftime_now`, the filter `tojson`, and `generation` blocks.
They come with a model's files and are run in Jinja's sandbox. Extra: `codegen`.
"""

import dataclasses
import datetime
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.markers import CUT, find_reserved, hide, show

Message = Mapping[str, Any]
"""A turn: `role`, `content`, and what else the template reads, as `tool_calls`."""

ASSISTANT = "assistant"
THOUGHTS = ("<think>", "</think>", "[THINK]", "[/THINK]")
"""Marks around the assistant's thoughts, which templates cut off from earlier turns."""

_ROLE = re.compile(r"\w+")
_ESCAPED = re.compile(r"\\u(fd[de][0-9a-f])")


class ChatError(UserError, ValueError):
    """A conversation cannot be written as a prompt."""


@dataclasses.dataclass(frozen=True)
class ChatTemplate:
    """How a model's conversations are written.

    Attributes:
      source: the Jinja template.
      with_tools: the one for conversations with tools, where the model has one of its own.
    """

    source: str
    with_tools: str | None = None


def conversation(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    now: datetime.datetime | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Prompt:
    """Returns the prompt of a conversation, after which the model writes the assistant's turn.

    The template's markers become tokens; markers in the messages stay text, but for `THOUGHTS` in
    the assistant's own turns, where templates look for them. If the last turn is the assistant's,
    the model goes on with it.

    Args:
      tokenizer: the model's.
      template: the model's.
      messages: the turns, at least one.
      tools: JSON schemas of the functions that the model may call.
      now: the time that a template may state; None for the present one.
      variables: others that the template reads, as `enable_thinking`; by any name.

    Raises:
      ChatError: a message is malformed, or the template refuses the conversation or is damaged.
      ImportError: jinja2 is not installed.
    """
    _check(messages)
    # Before anything is hidden: a text that holds the characters of hiding could forge a marker.
    _check_reserved([*messages, *(tools or ())])
    markers = tuple(tokenizer.markers)
    turns = [
        _hidden(message, markers, THOUGHTS if message["role"] == ASSISTANT else ())
        for message in map(as_text, messages)
    ]
    goes_on = turns[-1]["role"] == ASSISTANT
    if goes_on:
        # The template closes the turn behind its content: `CUT` tells where, and the rest is cut
        # off.
        turns[-1] = {**turns[-1], "content": (turns[-1].get("content") or "") + CUT}
    source = template.source
    if tools and template.with_tools is not None:
        source = template.with_tools
    text = _render(
        source,
        now or datetime.datetime.now(),
        {
            **tokenizer.special_names,
            **(variables or {}),
            "messages": turns,
            "tools": _hidden(list(tools), markers) if tools else None,
            "documents": None,
            "add_generation_prompt": not goes_on,
        },
    )
    if goes_on:
        text = _until_cut(text)
    # Markers are looked for while brackets of others are hidden; the text itself shows them.
    tokens = tuple(tokenizer.encode_marked(text))
    return Prompt(show(text), tokens=tokens, ends_at_token=not goes_on)


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise ChatError("expected at least one message, got none; write what the user says")
    for number, message in enumerate(messages, 1):
        role = message.get("role") if isinstance(message, Mapping) else None
        if not isinstance(role, str) or not _ROLE.fullmatch(role):
            raise ChatError(
                f"message {number}: expected an object with a `role` of one word, such as system, "
                f"user or assistant, and its `content`, got {message!r:.80}"
            )
        content = message.get("content")
        # A turn that only calls tools may have no content.
        absent = content is None and "tool_calls" in message
        if not isinstance(content, str | list) and not absent:
            raise ChatError(
                f"message {number}: expected a text as its content, got {content!r:.80}"
            )
        for part in content if isinstance(content, list) else ():
            if not (isinstance(part, Mapping) and isinstance(part.get("text"), str)):
                raise ChatError(
                    f"message {number}: expected parts of text, got {part!r:.80}; models here read "
                    "no images and no sound"
                )


def _check_reserved(values: Sequence[Any]) -> None:
    reserved = find_reserved(json.dumps(values, ensure_ascii=False, default=str))
    if reserved is not None:
        raise ChatError(
            f"a message contains U+{ord(reserved):04X}, which Unicode reserves for use inside of "
            "programs; remove it"
        )


def as_text(message: Message) -> Message:
    """Returns a message whose content is one text: parts of text are joined by line ends."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": "\n".join(part["text"] for part in content)}


def _hidden(value: Any, markers: Sequence[str], readable: Sequence[str] = ()) -> Any:
    """Returns a JSON value whose texts have their markers hidden, names of fields included."""
    if isinstance(value, str):
        return hide(value, markers, readable)
    if isinstance(value, Mapping):
        return {
            # Arguments of tools have names that others chose, too.
            hide(str(name), markers): _hidden(one, markers, readable)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_hidden(one, markers, readable) for one in value]
    return value


def _until_cut(text: str) -> str:
    """Returns what a template wrote up to the end of the last turn's content."""
    text, cut, _ = text.partition(CUT)
    if not cut:
        raise ChatError(
            "the last message is the assistant's, and the template does not write its content as "
            "it is; end with a message of the user"
        )
    return text


def _render(source: str, now: datetime.datetime, variables: Mapping[str, Any]) -> str:
    import jinja2

    environment = _environment()
    try:
        template = environment.from_string(
            source, globals={"strftime_now": now.strftime, "raise_exception": _refuse}
        )
        return template.render(variables)
    # What `raise_exception` of the template raised is told as it is.
    except ChatError:
        raise
    except jinja2.TemplateSyntaxError as error:
        raise ChatError(
            f"the model's chat template is damaged, line {error.lineno}: {error.message}; take the "
            "one that its publisher gives"
        ) from error
    # A template is a program of the model's publisher: anything may be raised in it.
    except Exception as error:
        raise ChatError(
            f"the model's chat template fails on this conversation: {type(error).__name__}: {error}"
        ) from error


def _refuse(message: str) -> None:
    raise ChatError(f"the model's chat template refuses this conversation: {message}")


@functools.cache
def _environment() -> Any:
    """Returns Jinja's sandbox with the settings that transformers renders templates with."""
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """Blocks around what the assistant wrote, which trainers look for: their text stays."""

        tags = {"generation"}  # noqa: RUF012 - as the base class

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    # As transformers sets them: white space around blocks would become tokens.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Returns JSON text, not escaped for HTML as Jinja's own filter is."""
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
    # In ASCII hidden characters would be escape sequences, which tokenizers would not show.
    return _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), text)
