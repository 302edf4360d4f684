import io
import json
import sys

import pytest
from absl import app, flags
from absl.testing import flagsaver
from rich.console import Console

from experiments.codegen import generation, writer
from hrm_jax.core.files import TextError
from hrm_jax.core.types import Prompt
from hrm_jax.inference.text.prompts import PromptError
from hrm_jax.inference.text.writing import Piece, Writer
from tests.hrm_jax.inference.text import tiny

FLAGS = flags.FLAGS


@pytest.fixture(autouse=True)
def parsed_flags():
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver():
        yield


@pytest.fixture
def tiny_writer(monkeypatch):
    """The tests' model in place of one that is loaded; nothing is kept on disk."""
    model, variables = tiny.hrm_text()

    def load() -> Writer:
        tokenizer = tiny.ByteTokenizer()
        sampling = writer.sampling()
        return Writer(model, variables, tokenizer, batch_size=2, sampling=sampling)

    monkeypatch.setattr(writer, "load_writer", load)
    monkeypatch.setenv("HRM_JAX_COMPILED", "")


def written(**asked) -> str:
    """What the flags let the model write."""
    for name, value in asked.items():
        setattr(FLAGS, name, value)
    shown = io.StringIO()
    assert generation.run(Console(file=shown, markup=False, width=200)) == 0
    return shown.getvalue()


def test_a_text_is_printed_as_it_comes(tiny_writer, capsys):
    text = written(prompt=["def f"], max_tokens=8)
    model = writer.load_writer()
    assert text == model.complete([Prompt("def f")], seeds=[0], max_tokens=8)[0] + "\n"
    error = capsys.readouterr().err
    assert "first token after" in error
    assert "7 tokens" in error


def test_a_text_is_left_as_it_is(tiny_writer, monkeypatch):
    written_by_model = "\ta[:on:] [bold]\r\n"
    pieces = [Piece(0, written_by_model, 1, None), Piece(0, "x" * 300, 1, "end")]
    monkeypatch.setattr(Writer, "write", lambda self, requests: iter(pieces))
    assert written(prompt=["p"]) == written_by_model + "x" * 300 + "\n"


def test_samples_have_seeds_of_their_own_and_come_as_json(tiny_writer):
    asked = {"temperature": 1.0, "samples": 2, "seed": 5, "max_tokens": 8, "json": True}
    lines = [json.loads(line) for line in written(prompt=["a<FILL>b"], **asked).splitlines()]
    assert [line["seed"] for line in lines] == [5, 6]
    assert {(line["prompt"], line["suffix"], line["ending"]) for line in lines} == {
        ("a", "b", "length")
    }
    assert lines[0]["completion"] != lines[1]["completion"]


def test_several_texts_come_whole(tiny_writer):
    text = written(prompt=["one", "two"], max_tokens=4)
    assert text.index("'one'") < text.index("'two'")


def test_prompts_come_from_flags_files_and_standard_input(tmp_path, monkeypatch):
    plain = tmp_path / "plain.py"
    many = tmp_path / "many.jsonl"
    plain.write_text("x = <FILL>\n")
    many.write_text('{"prompt": "a", "suffix": "b"}\n\n{"prompt": "c"}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(plain.read_bytes())))
    FLAGS.prompt = ["p"]
    FLAGS.prompt_file = [str(plain), str(many), "-"]
    hole = Prompt("x = ", "\n")
    found = [asked.prompt for asked in generation.read_prompts()]
    assert found == [Prompt("p"), hole, Prompt("a", "b"), Prompt("c"), hole]


def test_a_suffix_makes_a_hole():
    FLAGS.prompt = ["a"]
    FLAGS.suffix = "b"
    assert generation.read_prompts() == [generation.Asked(Prompt("a", "b"))]


@pytest.mark.parametrize("prompts", [["a", "b"], ["a<FILL>c"]])
def test_a_suffix_is_for_one_prompt_without_a_hole(prompts):
    FLAGS.prompt = prompts
    FLAGS.suffix = "b"
    with pytest.raises(PromptError, match="a single prompt that has no hole"):
        generation.read_prompts()


def test_a_text_has_one_hole():
    FLAGS.prompt = ["a<FILL>b<FILL>c"]
    with pytest.raises(PromptError, match="expected one <FILL> in a prompt, got 2"):
        generation.read_prompts()


def test_something_must_be_asked():
    with pytest.raises(app.UsageError, match="--prompt or --prompt_file"):
        generation.read_prompts()


def test_a_file_that_is_not_there_is_named(tmp_path):
    FLAGS.prompt_file = [str(tmp_path / "none.py")]
    with pytest.raises(FileNotFoundError, match=r"none\.py"):
        generation.read_prompts()


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": 1}', '{"prompt": "a", "suffix": 2}'])
def test_lines_that_are_no_prompts_are_refused(tmp_path, line):
    file = tmp_path / "many.jsonl"
    file.write_text(f'{{"prompt": "a"}}\n{line}\n')
    FLAGS.prompt_file = [str(file)]
    with pytest.raises(PromptError, match=r"many\.jsonl, line 2: expected"):
        generation.read_prompts()


def test_lines_end_at_line_feeds_alone(tmp_path):
    file = tmp_path / "many.jsonl"
    texts = ["a\u2028b", "c\u0085d", "e\x0cf"]
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in texts]
    file.write_bytes("\r\n".join(lines).encode())
    FLAGS.prompt_file = [str(file)]
    assert [asked.prompt.prefix for asked in generation.read_prompts()] == texts


def test_other_fields_of_a_line_come_out_with_its_texts(tiny_writer, tmp_path):
    file = tmp_path / "many.jsonl"
    file.write_text('{"task_id": 7, "prompt": "a", "seed": "x"}\n{"prompt": "b", "note": null}\n')
    text = written(prompt_file=[str(file)], json=True, samples=2, max_tokens=2, temperature=1.0)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line.get("task_id") for line in lines] == [7, 7, None, None]
    assert ["note" in line for line in lines] == [False, False, True, True]
    assert [line["seed"] for line in lines] == [0, 1, 0, 1]


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
        generation.read_prompts()


def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path):
    (tmp_path / "prompt.py").write_bytes("x = 1".encode("utf-8-sig"))
    FLAGS.prompt_file = [str(tmp_path / "prompt.py")]
    assert [asked.prompt for asked in generation.read_prompts()] == [Prompt("x = 1")]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"\n\n", "\n\n"),
        (r"\t\x41\u2028", "\tA\u2028"),
        (r"a\\nb", "a\\nb"),
        (r"\'\"", "'\""),
        ("é\\q", "é\\q"),
    ],
)
def test_escapes_of_a_stop_are_read(text, read):
    assert generation.unescape(text) == read
