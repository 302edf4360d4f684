"""Chat templates in the files of a model: read from folders and GGUF files, written to folders.

A model may have several templates, by name; `default` and `tool_use` are used here, as
`apply_chat_template` of transformers does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_jax.convert.gguf_file import GgufFile
from hrm_jax.core.config import ConfigError
from hrm_jax.core.files import read_json_object, read_text, write_atomically
from hrm_jax.data.text.chat import ChatTemplate
from hrm_jax.data.text.wrapped_tokenizer import CONFIG_FILE

TEMPLATE_FILE = "chat_template.jinja"
OTHERS_FOLDER = "additional_chat_templates"
_LEGACY_FILE = "chat_template.json"
_DEFAULT = "default"
_WITH_TOOLS = "tool_use"
_GGUF_KEY = "tokenizer.chat_template"


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """Returns the templates in a folder, or None if it has none.

    They are files, or in older folders a field of the tokenizer's config: a text, or a list of
    objects with `name` and `template`.

    Raises:
      ConfigError: the field is something else.
      TextError: a file is not UTF-8.
    """
    named = {}
    # Fields first, as a template that is a file of its own replaces them.
    for path in (folder / CONFIG_FILE, folder / _LEGACY_FILE):
        if path.exists():
            named |= _from_field(path, read_json_object(path).get("chat_template"))
    if (folder / TEMPLATE_FILE).exists():
        named[_DEFAULT] = read_text(folder / TEMPLATE_FILE)
    # Their files' names are the templates' names.
    for path in sorted((folder / OTHERS_FOLDER).glob("*.jinja")):
        named[path.stem] = read_text(path)
    return _chosen(named)


def gguf_chat_template(file: GgufFile) -> ChatTemplate | None:
    """Returns the templates in a GGUF file's metadata, or None if it has none."""
    keys = {_DEFAULT: _GGUF_KEY, _WITH_TOOLS: f"{_GGUF_KEY}.{_WITH_TOOLS}"}
    return _chosen({name: file.get(key) for name, key in keys.items() if file.has(key)})


def write_chat_template(folder: Path, template: ChatTemplate) -> None:
    """Writes the files that `read_chat_template` and transformers read."""
    write_atomically(folder / TEMPLATE_FILE, template.source)
    if template.with_tools is not None:
        (folder / OTHERS_FOLDER).mkdir(exist_ok=True)
        write_atomically(folder / OTHERS_FOLDER / f"{_WITH_TOOLS}.jinja", template.with_tools)


def _from_field(path: Path, field: Any) -> dict[str, str]:
    if field is None:
        return {}
    if isinstance(field, str):
        return {_DEFAULT: field}
    try:
        named = {str(entry["name"]): entry["template"] for entry in field}
    except (TypeError, KeyError) as error:
        raise ConfigError(
            "chat_template",
            f"{path}: expected a text, or a list of objects with name and template, got "
            f"{field!r:.40}; fetch the file anew",
        ) from error
    return named


def _chosen(named: Mapping[str, str]) -> ChatTemplate | None:
    # A template for tools alone serves all conversations.
    source = named.get(_DEFAULT) or named.get(_WITH_TOOLS)
    return ChatTemplate(source, named.get(_WITH_TOOLS)) if source else None
