import io
import json
import sys

import pytest
from absl import app, flags, logging
from absl.testing import flagsaver

from experiments.codegen import prompts
from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core.files import JsonError, TextError
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.chat import ChatError, ChatTemplate
from hrm_jax.inference.text.prompts import PromptError
from tests.hrm_jax.inference.text import tiny

FLAGS = flags.FLAGS
USER = {"role": "user", "content": "Hello"}


@pytest.fixture(autouse=True)
def parsed_flags():
    FLAGS.mark_as_parsed()  # required flags of other commands have no values here
    with flagsaver.flagsaver():
        yield


@pytest.fixture
def files_of_prompts(tmp_path):
    def write(**contents: str) -> None:
        FLAGS.prompt_file = []
        for name, content in contents.items():
            path = tmp_path / name.replace("_", ".")
            path.write_text(content)
            FLAGS.prompt_file.append(str(path))

    return write


def test_prompts_come_from_flags_files_and_standard_input(tmp_path, monkeypatch):
    plain = tmp_path / "plain.py"
    many = tmp_path / "many.jsonl"
    plain.write_text("x = <FILL>\n")
    many.write_text('{"prompt": "a", "suffix": "b"}\n\n{"prompt": "c"}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(plain.read_bytes())))
    FLAGS.prompt = ["p"]
    FLAGS.prompt_file = [str(plain), str(many), "-"]
    hole = Prompt("x = ", "\n")
    found = [asked.text for asked in prompts.read_prompts()]
    assert found == [Prompt("p"), hole, Prompt("a", "b"), Prompt("c"), hole]


@pytest.mark.parametrize(
    ("form", "chat", "content", "expected"),
    [
        ("jsonl", False, '{"prompt": "a"}\n{"prompt": "b"}', ["a", "b"]),
        ("text", False, '{"prompt": "a"}', ['{"prompt": "a"}']),
        ("jsonl", True, json.dumps([USER]), [[USER]]),
        ("json", True, json.dumps([USER], indent=2), [[USER]]),
    ],
)
def test_the_format_of_standard_input_is_said(monkeypatch, form, chat, content, expected):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    FLAGS.prompt_file = ["-"]
    FLAGS.prompt_format = form
    FLAGS.chat = chat
    found = [asked.messages or asked.text.prefix for asked in prompts.read_prompts()]
    assert found == expected


@pytest.mark.parametrize(
    "content",
    ['{"prompt": "a"}\n{"prompt": "b"}', json.dumps([USER], indent=2), '{"messages": []}'],
)
def test_what_looks_like_prompts_in_json_is_asked_about(files_of_prompts, content):
    files_of_prompts(a_txt=content)
    with pytest.raises(PromptError, match="say which by --prompt_format=text"):
        prompts.read_prompts()


@pytest.mark.parametrize("content", ['{"a": 1}', "[1, 2]", "[]", '{"prompt', "3", "[" * 100_000])
def test_other_json_is_text(files_of_prompts, content):
    files_of_prompts(a_txt=content)
    assert [asked.text for asked in prompts.read_prompts()] == [Prompt(content)]


def test_all_other_fields_are_kept(files_of_prompts):
    files_of_prompts(a_jsonl='{"prompt": "a", "suffix": "b", "seed": 3, "id": 4}')
    assert prompts.read_prompts()[0].others == {"seed": 3, "id": 4}


def test_a_suffix_makes_a_hole():
    FLAGS.prompt = ["a"]
    FLAGS.suffix = "b"
    assert prompts.read_prompts() == [prompts.Asked(Prompt("a", "b"))]


@pytest.mark.parametrize("texts", [["a", "b"], ["a<FILL>c"]])
def test_a_suffix_is_for_one_prompt_without_a_hole(texts):
    FLAGS.prompt = texts
    FLAGS.suffix = "b"
    with pytest.raises(PromptError, match="a single prompt that has no hole"):
        prompts.read_prompts()


def test_a_text_has_one_hole():
    FLAGS.prompt = ["a<FILL>b<FILL>c"]
    with pytest.raises(PromptError, match="expected one <FILL> in a prompt, got 2"):
        prompts.read_prompts()


def test_something_must_be_asked():
    with pytest.raises(app.UsageError, match="--prompt or --prompt_file"):
        prompts.read_prompts()


def test_a_file_that_is_not_there_is_named(tmp_path):
    FLAGS.prompt_file = [str(tmp_path / "none.py")]
    with pytest.raises(FileNotFoundError, match=r"none\.py"):
        prompts.read_prompts()


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": 1}', '{"prompt": "a", "suffix": 2}'])
def test_lines_that_are_no_prompts_are_refused(tmp_path, line):
    file = tmp_path / "many.jsonl"
    file.write_text(f'{{"prompt": "a"}}\n{line}\n')
    FLAGS.prompt_file = [str(file)]
    with pytest.raises((PromptError, JsonError), match=r"many\.jsonl, line 2: expected"):
        prompts.read_prompts()


def test_lines_end_at_line_feeds_alone(tmp_path):
    file = tmp_path / "many.jsonl"
    texts = ["a\u2028b", "c\u0085d", "e\x0cf"]
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in texts]
    file.write_bytes("\r\n".join(lines).encode())
    FLAGS.prompt_file = [str(file)]
    assert [asked.text.prefix for asked in prompts.read_prompts()] == texts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "x = 1\n# caf\xe9\n".encode("latin1"),
            r"line 2: expected UTF-8 text, got byte 0xe9; .*iconv",
        ),
        ("x = 1".encode("utf-16"), "expected UTF-8 text, got UTF-16; .*iconv -f UTF-16"),
    ],
)
def test_another_encoding_is_named(tmp_path, content, message):
    (tmp_path / "prompt.py").write_bytes(content)
    FLAGS.prompt_file = [str(tmp_path / "prompt.py")]
    with pytest.raises(TextError, match=message):
        prompts.read_prompts()


def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path):
    (tmp_path / "prompt.py").write_bytes("x = 1".encode("utf-8-sig"))
    FLAGS.prompt_file = [str(tmp_path / "prompt.py")]
    assert [asked.text for asked in prompts.read_prompts()] == [Prompt("x = 1")]


def test_with_chat_a_text_is_the_users_turn(files_of_prompts):
    FLAGS.chat = True
    FLAGS.prompt = ["Hello"]
    files_of_prompts(a_txt="a <FILL> b <FILL>")
    one, other = prompts.read_prompts()
    assert one.messages == [USER]
    assert other.messages == [{"role": "user", "content": "a <FILL> b <FILL>"}]
    FLAGS.system = "Be brief."
    assert prompts.read_prompts()[0].messages == [{"role": "system", "content": "Be brief."}, USER]


def test_conversations_come_from_json(files_of_prompts):
    FLAGS.chat = True
    tools = [{"type": "function"}]
    line = {"messages": [USER], "tools": tools, "id": 3}
    files_of_prompts(
        a_json=json.dumps([USER]),
        b_json=json.dumps({"messages": [USER]}),
        c_jsonl=json.dumps(line) + '\n{"prompt": "Hello", "id": 4}',
    )
    found = prompts.read_prompts()
    assert [one.messages for one in found] == [[USER]] * 4
    assert [one.tools for one in found] == [None, None, tools, None]
    assert found[2].others == line
    assert found[3].others == {"id": 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"messages": 1}', "expected a list of messages"),
        ('{"messages": [], "tools": {}}', "expected a list of messages, and of tools"),
        ('{"prompt": "a", "suffix": "b"}', "expected no suffix with --chat"),
        ('{"prompt": "a", "messages": []}', "expected `messages` or `prompt`, got both"),
        ('{"text": "a"}', "or `messages`, got"),
    ],
)
def test_json_that_is_no_conversation_is_refused(files_of_prompts, content, message):
    FLAGS.chat = True
    files_of_prompts(a_json=content)
    with pytest.raises(PromptError, match=message):
        prompts.read_prompts()


@pytest.mark.parametrize(
    ("flag_values", "message"),
    [
        ({"special": True, "chat": True}, "--special: expected without --chat"),
        ({"special": True, "suffix": "b"}, "--special: expected prompts without <FILL>"),
        ({"chat": True, "suffix": "b"}, "--suffix: expected with a single prompt"),
        ({"system": "b"}, "--system: expected with --chat"),
    ],
)
def test_flags_that_contradict_each_other_are_named(flag_values, message):
    FLAGS.prompt = ["a"]
    for name, value in flag_values.items():
        setattr(FLAGS, name, value)
    with pytest.raises(PromptError, match=message):
        prompts.read_prompts()


@pytest.fixture
def loaded() -> LoadedLanguageModel:
    template = ChatTemplate("{% for m in messages %}{{ m.role }}:{{ m.content }}<end>{% endfor %}")
    return LoadedLanguageModel(*tiny.hrm_text(), tiny.ByteTokenizer(), template, "tiny")


def test_a_conversation_is_written_by_the_template(loaded):
    prompt = prompts.Asked(messages=[USER]).prompt(loaded)
    tokens = (*b"user:Hello", tiny.END)
    assert prompt == Prompt("user:Hello<end>", tokens=tokens, ends_at_token=True)
    begun = prompts.Asked(messages=[USER, {"role": "assistant", "content": "Hi"}]).prompt(loaded)
    assert not begun.ends_at_token


def test_markers_in_a_text_are_text_unless_asked_for(loaded):
    asked = prompts.Asked(Prompt("a<end>"))
    assert asked.prompt(loaded) == Prompt("a<end>")
    FLAGS.special = True
    assert asked.prompt(loaded) == Prompt("a<end>", tokens=(ord("a"), tiny.END))


def test_a_marker_that_the_model_lacks_is_told(loaded, caplog):
    FLAGS.special = True
    logger = logging.get_absl_logger()
    logger.addHandler(caplog.handler)
    prompts.Asked(Prompt("a <| b |> <end>")).prompt(loaded)
    assert not caplog.text
    prompts.Asked(Prompt("<|im_end|>a<\uff5cx\uff5c><end>")).prompt(loaded)
    logger.removeHandler(caplog.handler)
    assert "<|im_end|>, <\uff5cx\uff5c>: no special token of this model" in caplog.text
    assert "it has <end>" in caplog.text


def test_a_model_without_a_template_takes_no_conversation(loaded):
    other = LoadedLanguageModel(loaded.model, loaded.variables, loaded.tokenizer, origin="here")
    with pytest.raises(ChatError, match=r"here has no chat template: .* leave out --chat"):
        prompts.Asked(messages=[USER]).prompt(other)
