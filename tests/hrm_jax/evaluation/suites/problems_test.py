"""Reading suites: what a record becomes, and what is said of a file that is none."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.suites import humanevalpack, mbpp, named
from hrm_jax.evaluation.suites.humaneval import load_infilling
from hrm_jax.evaluation.suites.named import load_suite
from hrm_jax.evaluation.suites.problems import (
    SuiteError,
    check_fields,
    read_records,
    whole_blocks,
)

FIELDS = {"task_id": "a whole number", "prompt": "a text"}


def write(path, records):
    text = "\n".join(json.dumps(record) for record in records)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(records) if ".jsonl" not in path.name else text + "\n")
    return path


def mbpp_record(task_id, **changes):
    record = {
        "task_id": task_id,
        "text": f"Write task {task_id}.",
        "code": "import math\r\ndef f(x):\r\n  '\\w'\r\n  return g(x)\r\ndef g(x): return x\r\n"
        "class C: pass",
        "test_list": ["assert f(1) == 1", "assert math.isclose(C().x, 2)"],
        "test_setup_code": "c = C()",
        "challenge_test_list": [],
    }
    return record | changes


@pytest.fixture
def mbpp_folder(tmp_path):
    write(tmp_path / "mbpp.jsonl.gz", [mbpp_record(i) for i in (2, 3, 4, 11, 510, 511, 601)])
    return tmp_path


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.json.gz", "x.jsonl", "x.json"])
def test_records_are_read(tmp_path, name):
    records = [{"task_id": 1, "prompt": "é\nb"}, {"task_id": 2, "prompt": ""}]
    write(tmp_path / name, records)
    assert read_records(tmp_path / name.removesuffix(".gz"), FIELDS) == records


def test_what_a_file_is_is_seen_from_its_content(tmp_path):
    records = [{"task_id": 1, "prompt": "a"}]
    path = tmp_path / "x.jsonl"
    for text in (json.dumps(records), json.dumps(records[0]), "\ufeff" + json.dumps(records)):
        for content in (text.encode(), gzip.compress(text.encode())):
            path.write_bytes(content)
            assert read_records(path, FIELDS) == records


def test_a_missing_file_is_told_with_the_remedy(tmp_path):
    with pytest.raises(SuiteError, match=r"expected x.jsonl or x.jsonl.gz in .*, .*--suite_data"):
        read_records(tmp_path / "x.jsonl", FIELDS)


def test_a_missing_field_is_named(tmp_path):
    path = write(tmp_path / "x.jsonl.gz", [{"task_id": 1, "prompt": ""}, {"task_id": 2}])
    with pytest.raises(SuiteError, match=r"record 1: expected the fields .*, missing prompt"):
        read_records(path, FIELDS)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("a text", ["", "a"], [None, 1, ["a"]]),
        ("a whole number", [0, 7], [None, "7", 0.5, [7]]),
        ("texts", [[], ["a"]], [None, "a", [None], ["a", 1]]),
        ("one or more texts", [["a"]], [None, "a", [], [1]]),
    ],
)
def test_a_value_of_another_kind_is_named(kind, good, bad):
    for value in good:
        check_fields([{"x": value}], "file", {"x": kind})
        check_fields([{"x": value}, {}], "file", {}, {"x": kind})
    for value in bad:
        for kinds in (({"x": kind}, {}), ({}, {"x": kind})):
            with pytest.raises(SuiteError, match=f"file: record 1: expected {kind} as x, got"):
                check_fields([{"x": good[0]}, {"x": value}], "file", *kinds)


@pytest.mark.parametrize("code", ["\0", "def", "(" * 1000])
def test_code_that_is_no_python_is_named(tmp_path, code):
    records = [mbpp_record(2), mbpp_record(3), mbpp_record(4), mbpp_record(11, code=code)]
    write(tmp_path / "mbpp.jsonl", records)
    with pytest.raises(SuiteError, match="task 11: expected Python in code and tests, got"):
        mbpp.load_mbpp(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"{", "expected JSON"),
        (b"\xff", "cannot be read"),
        (b"\n", "expected a list of records"),
        (b"[1]\n", "record 0: expected an object"),
    ],
    ids=["cut JSON", "no text", "nothing", "no object"],
)
def test_damage_is_told(tmp_path, text, problem):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(text))
    with pytest.raises(SuiteError, match=problem):
        read_records(path, FIELDS)


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_archive_is_told(tmp_path, cut):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}")[:-4] if cut else b"{}")
    with pytest.raises(SuiteError, match="cannot be read"):
        read_records(path, FIELDS)


@pytest.mark.parametrize(
    ("split", "ids"), [("test", ["11", "510"]), ("validation", ["511"]), ("train", ["601"])]
)
def test_mbpp_is_split_by_task(mbpp_folder, split, ids):
    suite = mbpp.load_mbpp(mbpp_folder, split=split)
    assert [problem.task_id for problem in suite.problems] == ids


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mbpp_has_the_names_that_it_was_published_with(tmp_path, ending):
    records = [mbpp_record(i) for i in (2, 3, 4, 11)]
    write(tmp_path / f"mbpp.jsonl{ending}", records)
    edited = [{**record, "prompt": "Edited."} for record in records]
    write(tmp_path / f"sanitized-mbpp.json{ending}", edited)
    assert len(mbpp.load_mbpp(tmp_path).problems) == 1
    (problem,) = mbpp.load_mbpp(tmp_path, sanitized=True, style="instruction").problems
    assert "Edited." in problem.prompt.prefix


def test_mbpp_shows_three_solved_tasks(mbpp_folder):
    suite = mbpp.load_mbpp(mbpp_folder)
    prompt = suite.problems[0].prompt.prefix
    assert prompt.count("[BEGIN]") == 4
    assert prompt.count("[DONE]") == 3
    places = [prompt.index(f"Write task {i}.") for i in (2, 3, 4, 11)]
    assert places == sorted(places)
    assert prompt.endswith("assert math.isclose(C().x, 2)\n[BEGIN]\n")
    assert suite.stop == ("[DONE]",)


def test_mbpp_may_ask_in_a_docstring(mbpp_folder):
    suite = mbpp.load_mbpp(mbpp_folder, style="instruction")
    assert suite.problems[0].prompt == Prompt('"""\nWrite task 11.\nassert f(1) == 1\n"""\n')


def test_mbpp_takes_from_the_program_what_tests_use(mbpp_folder):
    problem = mbpp.load_mbpp(mbpp_folder).problems[0]
    assert problem.exam.remote == ("C", "f")
    assert problem.exam.tests.startswith("c = C()\nassert f(1)")
    assert "\r" not in problem.canonical


def test_mbpp_needs_its_shots(tmp_path):
    write(tmp_path / "mbpp.jsonl.gz", [mbpp_record(2), mbpp_record(11)])
    with pytest.raises(SuiteError, match=r"missing \[3, 4\]"):
        mbpp.load_mbpp(tmp_path)


def test_mbpp_must_be_python(tmp_path):
    records = [mbpp_record(2), mbpp_record(3), mbpp_record(4), mbpp_record(11, code="def f(")]
    write(tmp_path / "mbpp.jsonl.gz", records)
    with pytest.raises(SuiteError, match="task 11: expected Python in code and tests"):
        mbpp.load_mbpp(tmp_path)


def test_infilling_has_both_sides_of_the_hole(tmp_path):
    record = {
        "task_id": "a",
        "entry_point": "f",
        "prompt": "def f(x):\n",
        "suffix": "    return y\n",
        "canonical_solution": "    y = x\n",
        "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    }
    write(tmp_path / "HumanEval-SingleLineInfilling.jsonl.gz", [record])
    (problem,) = load_infilling(tmp_path, "single_line").problems
    assert problem.prompt == Prompt("def f(x):\n", "    return y\n")
    exam = problem.exam_of(problem.canonical)
    assert exam.program == exam.reference == "def f(x):\n    y = x\n    return y\n"
    assert exam.tests.endswith("check(f)\n")


def test_a_declaration_becomes_a_prototype(tmp_path):
    record = {
        "task_id": "CPP/0",
        "prompt": "int g(){ return 1; }\nint f(int x){\n",
        "declaration": "int g(){ return 1; }\nint f(int x){ \n",
        "canonical_solution": "    return x;\n}\n",
        "buggy_solution": "    return 0;\n}\n",
        "test": "int main(){}",
        "entry_point": "f",
    }
    path = write(tmp_path / "humanevalpack_cpp.jsonl.gz", [record])
    (problem,) = humanevalpack.load_humanevalpack(tmp_path, "cpp").problems
    assert problem.exam.reference == "int g(){ return 1; }\nint f(int x);\n"
    write(path, [record | {"declaration": "int f(int x);"}])
    with pytest.raises(SuiteError, match="CPP/0: expected a declaration with an open brace"):
        humanevalpack.load_humanevalpack(tmp_path, "cpp")


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("/* Add two. */\nconst add = (x) => {", "add"),
        ("/* f */\nconst addTwo = (x) => {", "addTwo"),
        ("const other = (x) => {", "addtwo"),
    ],
)
def test_a_functions_name_is_spelt_as_in_the_prompt(tmp_path, prompt, name):
    record = {
        "task_id": "JavaScript/0",
        "prompt": prompt,
        "declaration": prompt,
        "canonical_solution": "",
        "buggy_solution": "",
        "test": "",
        "entry_point": "add" if name == "add" else "addtwo",
    }
    write(tmp_path / "humanevalpack_js.jsonl.gz", [record])
    (problem,) = humanevalpack.load_humanevalpack(tmp_path, "js").problems
    assert problem.exam.remote == (name,)


@pytest.mark.parametrize(
    ("before", "completion", "kept"),
    [
        ("int f() {\n", " return 1;\n}\nint g() {\n retu", " return 1;\n}\n"),
        ("int f() {\n", " return 1;\n}\nint g() {}\nint h(", " return 1;\n}\nint g() {}\n"),
        ("class A {\n int f() {\n", "  return 1;\n }\n}\nclass B {", "  return 1;\n }\n}\n"),
        ("int f() {\n", " puts(\"}\"); // }\n /* } */ c = '}';\n}", None),
        ("int f() {\n", " if (x) {", None),
        ("const f = () => {\n", " return `}`;\n};\nx", " return `}`;\n};\n"),
    ],
)
def test_a_block_that_was_cut_off_is_dropped(before, completion, kept):
    assert whole_blocks(before, completion, quotes='"`') == (completion if kept is None else kept)


@given(st.text(alphabet="{}\"'/*\\\n a"), st.text(alphabet="{}\"'/*\\\n a"))
def test_only_an_end_is_dropped(before, completion):
    assert completion.startswith(whole_blocks(before, completion))


def test_some_problems_are_spread_over_all(mbpp_folder):
    suite = mbpp.load_mbpp(mbpp_folder, split="all")
    assert [p.task_id for p in suite.take(3).problems] == ["2", "4", "510"]
    assert suite.take(0) is suite
    with pytest.raises(SuiteError, match="expected 0 to 7 problems of mbpp, got 8"):
        suite.take(8)


def test_suites_have_names(tmp_path):
    with pytest.raises(SuiteError, match=r"expected a suite of humaneval, .*, got 'humanevil'"):
        load_suite("humanevil", tmp_path)
    with pytest.raises(SuiteError, match="mbpp: expected the folder of its file; set --suite_data"):
        load_suite("mbpp", None)


@pytest.mark.parametrize("name", named.NAMES)
def test_the_real_files_are_read(suite_data, name):
    suite = load_suite(name, suite_data, split="all")
    counts = {"mbpp": 974, "mbpp_sanitized": 427, "cruxeval_output": 800}
    counts["humaneval_infilling"] = 1033
    assert len(suite.problems) == counts.get(name, 164)
    assert len({problem.task_id for problem in suite.problems}) == len(suite.problems)
