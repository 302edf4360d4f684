import dataclasses
import io
import json

import pytest
from absl import flags
from absl.testing import flagsaver
from rich.console import Console

from experiments.codegen import generation, writer
from experiments.common import language_model
from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core.config import ConfigError
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.chat import ChatTemplate
from hrm_jax.inference.text.constraints import ConstraintError
from hrm_jax.inference.text.prompts import PromptError
from hrm_jax.inference.text.python_syntax import PythonSyntax
from hrm_jax.inference.text.requests import Piece
from hrm_jax.inference.text.writing import Writer
from tests.hrm_jax.inference.text import tiny

FLAGS = flags.FLAGS


@pytest.fixture(autouse=True)
def parsed_flags():
    FLAGS.mark_as_parsed()  # required flags of other commands have no values here
    with flagsaver.flagsaver():
        yield


@pytest.fixture
def tiny_writer(monkeypatch):
    """The tests' model in place of one that is loaded; nothing is kept on disk."""
    model, variables = tiny.hrm_text()

    template = ChatTemplate("{{ messages[0].content }}<end>")
    loaded = LoadedLanguageModel(model, variables, tiny.ByteTokenizer(), template)
    FLAGS.batch_size = 2
    monkeypatch.setattr(language_model, "load_language_model", lambda name, dtype: loaded)
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
    model = writer.make_writer(language_model.load_model())
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


def test_a_model_without_marks_for_holes_says_that_it_goes_on(tiny_writer, monkeypatch, capsys):
    read = json.loads(written(prompt=["a<FILL>b"], json=True, max_tokens=4))
    assert read["suffix_read"] is True
    assert "not trained to fill holes" not in capsys.readouterr().err
    loaded = language_model.load_model()
    unmarked = dataclasses.replace(loaded, tokenizer=tiny.ByteTokenizer(infilling=None))
    monkeypatch.setattr(language_model, "load_language_model", lambda name, dtype: unmarked)
    line = json.loads(written(prompt=["a<FILL>b"], json=True, max_tokens=4))
    assert line["suffix_read"] is False
    assert "was not trained to fill holes: it goes on from" in capsys.readouterr().err
    assert "suffix_read" not in json.loads(written(prompt=["a"], json=True, max_tokens=4))


def test_a_single_line_can_be_asked_for(tiny_writer, monkeypatch):
    asked = []
    monkeypatch.setattr(Writer, "write", lambda self, requests: asked.extend(requests) or iter(()))
    written(prompt=["a"], one_line=True)
    assert asked[0].one_line


def test_several_texts_come_whole(tiny_writer):
    text = written(prompt=["one", "two"], max_tokens=4)
    assert text.index("'one'") < text.index("'two'")


def test_other_fields_of_a_line_come_out_with_its_texts(tiny_writer, tmp_path):
    file = tmp_path / "many.jsonl"
    file.write_text('{"task_id": 7, "prompt": "a"}\n{"prompt": "b", "note": null}\n')
    text = written(prompt_file=[str(file)], json=True, samples=2, max_tokens=2, temperature=1.0)
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line.get("task_id") for line in lines] == [7, 7, None, None]
    assert ["note" in line for line in lines] == [False, False, True, True]
    assert [line["seed"] for line in lines] == [0, 1, 0, 1]


def test_a_field_that_the_output_writes_itself_is_refused(tiny_writer, tmp_path):
    file = tmp_path / "many.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": "b", "seed": 3, "ending": "x"}\n')
    with pytest.raises(PromptError, match=r"prompt 2: .*got seed, ending; rename them"):
        written(prompt_file=[str(file)], json=True)
    assert "'b'" in written(prompt_file=[str(file)], json=False, max_tokens=1)


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


def test_a_conversation_is_answered(tiny_writer):
    lines = written(prompt=["a<end>", "b"], chat=True, json=True, max_tokens=4).splitlines()
    found = [json.loads(line) for line in lines]
    assert [line["prompt"] for line in found] == ["a<end><end>", "b<end>"]
    model = writer.make_writer(language_model.load_model())
    prompt = Prompt("", tokens=(*b"a<end>", tiny.END))
    assert found[0]["completion"] == model.complete([prompt], seeds=[0], max_tokens=4)[0]


def test_other_tokens_can_end_a_text(tiny_writer):
    FLAGS.stop_token = ["<end>"]
    assert language_model.load_model().tokenizer.eos_tokens == (tiny.END, tiny.END)
    FLAGS.stop_token = ["<stop>"]
    with pytest.raises(ConfigError, match=r"--stop_token: expected .*<end>.*<stop>"):
        language_model.load_model()


def test_a_text_follows_a_schema(tiny_writer, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": ["a", 12]}')
    asked = {"json_schema": str(schema), "max_tokens": 8}
    lines = written(prompt=["def f"], samples=2, temperature=1.0, json=True, **asked).splitlines()
    for line in map(json.loads, lines):
        assert line["completion"] in ('"a"', "12")
        assert line["ending"] == "end"
        assert line["left_out"] == 0


def test_a_program_that_is_cut_says_so(tiny_writer, monkeypatch, capsys):
    pieces = [Piece(0, "x = 1", 1, None), Piece(0, "", 1, "length", 7)]
    monkeypatch.setattr(Writer, "write", lambda self, requests: iter(pieces))
    assert json.loads(written(prompt=["y = 1\n"], syntax="python", json=True))["left_out"] == 7
    assert "text 1 ends at its last complete statement: the 7 bytes" in capsys.readouterr().err


def test_what_a_text_has_to_be_is_refused_before_a_model_is_loaded(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text("{")
    with pytest.raises(ConstraintError, match="expected a schema in JSON"):
        written(prompt=["a"], json_schema=str(path))
    with pytest.raises(ConfigError, match="--json_schema and --grammar: expected one constraint"):
        written(prompt=["a"], grammar=str(path))
    with pytest.raises(ConstraintError, match="expected a grammar"):
        written(prompt=["a"], json_schema=None, grammar=str(path))


def test_a_constraint_is_a_part_of_the_settings():
    FLAGS.syntax = "python"
    assert writer.named_settings().endswith(", syntax=python")
    assert writer.constraint(after_prompt=False) == PythonSyntax(after_prompt=False)
