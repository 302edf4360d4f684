import json

import pytest

from hrm_jax.convert.chat_templates import read_chat_template, write_chat_template
from hrm_jax.core.config import ConfigError
from hrm_jax.data.text.chat import ChatTemplate


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"tokenizer_config.json": {"chat_template": "a"}}, ChatTemplate("a")),
        ({"tokenizer_config.json": {"chat_template": None}}, None),
        ({"chat_template.json": {"chat_template": "a"}}, ChatTemplate("a")),
        (
            {
                "tokenizer_config.json": {
                    "chat_template": [
                        {"name": "default", "template": "a"},
                        {"name": "tool_use", "template": "b"},
                        {"name": "rag", "template": "c"},
                    ]
                }
            },
            ChatTemplate("a", with_tools="b"),
        ),
    ],
)
def test_fields_of_older_folders(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert read_chat_template(tmp_path) == expected


def test_a_file_comes_before_a_field(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "a"}')
    for template in (ChatTemplate("b"), ChatTemplate("c", with_tools="d")):
        write_chat_template(tmp_path, template)
        assert read_chat_template(tmp_path) == template


@pytest.mark.parametrize("field", [3, [3], [{"name": "default"}]])
def test_another_field_is_refused(tmp_path, field):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": field}))
    with pytest.raises(ConfigError, match=r"chat_template: .*a list of objects"):
        read_chat_template(tmp_path)
