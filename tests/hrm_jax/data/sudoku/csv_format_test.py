"""Puzzle files: every accepted form, and every way to be wrong."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrm_jax.data.sudoku import csv_format, generator, rules

PUZZLES = generator.generate(np.random.default_rng(0), 30)
QUESTIONS = [rules.format_grid(question) for question in PUZZLES.questions]
ANSWERS = [rules.format_grid(answer) for answer in PUZZLES.answers]
HEADER = "source,question,answer,rating"


def _rows():
    return [
        f"here,{question},{answer},{rating}"
        for question, answer, rating in zip(QUESTIONS, ANSWERS, PUZZLES.ratings, strict=True)
    ]


def _write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _assert_same(puzzles, expected=PUZZLES):
    np.testing.assert_array_equal(puzzles.questions, expected.questions)
    np.testing.assert_array_equal(puzzles.answers, expected.answers)
    np.testing.assert_array_equal(puzzles.ratings, expected.ratings)
    dtypes = (puzzles.questions.dtype, puzzles.answers.dtype, puzzles.ratings.dtype)
    assert dtypes == (np.uint8, np.uint8, np.int32)


@pytest.mark.parametrize("name", ["puzzles.csv", "puzzles.csv.gz"])
def test_read_inverts_write(tmp_path, name):
    csv_format.write(tmp_path / name, PUZZLES, ["here"] * len(PUZZLES))
    _assert_same(csv_format.read(tmp_path / name, check_unique=True))


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a.csv.gz", "b.csv.gz"):
        csv_format.write(tmp_path / name, PUZZLES, ["here"] * len(PUZZLES))
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode().startswith(HEADER)


def test_columns_in_any_order_with_others_between(tmp_path):
    rows = [
        f"{rating},x,{answer},{question.replace('.', '0')}"
        for question, answer, rating in zip(QUESTIONS, ANSWERS, PUZZLES.ratings, strict=True)
    ]
    _assert_same(csv_format.read(_write(tmp_path / "p.csv", ["Rating,id,ANSWER, question", *rows])))


def test_missing_columns_are_computed(tmp_path):
    pairs = [f"{q},{a}" for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    _assert_same(csv_format.read(_write(tmp_path / "qa.csv", ["question,answer", *pairs])))
    _assert_same(csv_format.read(_write(tmp_path / "q.csv", ["question", *QUESTIONS])))
    _assert_same(csv_format.read(_write(tmp_path / "lines.txt", QUESTIONS)))


def test_blank_lines_and_foreign_line_ends_are_passed_over(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes("\r\n".join([HEADER, "", *_rows(), ""]).encode())
    _assert_same(csv_format.read(path))


def test_many_chunks_keep_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_format, "_CHUNK_ROWS", 7)
    _assert_same(csv_format.read(_write(tmp_path / "p.csv", [HEADER, *_rows()])))


def _spoil(row, column, change):
    fields = row.split(",")
    fields[column] = change(fields[column])
    return ",".join(fields)


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        (1, lambda text: text[:-1], "question: a puzzle has 81 characters.*has 80"),
        (1, lambda text: text[:9] + "x" + text[10:], "question: .*character 10 is 'x'"),
        (1, lambda text: text + " ", "question: spaces around the 81"),
        (2, lambda text: text + "1", "answer: a puzzle has 81 characters.*has 82"),
        (2, lambda text: "." + text[1:], "answer: r1c1 is blank"),
        (2, lambda text: text[1] + text[0] + text[2:], "answer: "),
        (2, lambda text: text.translate(str.maketrans("12", "21")), "answer: .* question gives"),
        (3, lambda text: "-1", "rating: expected an integer of at least 0, not '-1'"),
        (3, lambda text: "2.5", "rating: .* not '2.5'"),
        (3, lambda text: "99999999999", "rating: .* not '99999999999'"),
        (3, lambda text: text + ",extra", "has 5 field.*expected 4"),
    ],
)
def test_a_bad_row_is_reported_by_line(tmp_path, column, change, message):
    rows = _rows()
    rows[4] = _spoil(rows[4], column, change)
    path = _write(tmp_path / "p.csv", [HEADER, *rows])
    with pytest.raises(csv_format.CsvFormatError, match=f"1 unusable row.*\n  line 6: {message}"):
        csv_format.read(path)


def test_an_answer_that_breaks_the_rules(tmp_path):
    row = f"here,{81 * '.'},{81 * '1'},0"
    with pytest.raises(csv_format.CsvFormatError, match="line 2: answer: breaks the rules at r1c1"):
        csv_format.read(_write(tmp_path / "p.csv", [HEADER, row]))


def test_missing_answers_must_be_unique(tmp_path):
    lines = [QUESTIONS[0], 81 * ".", "11" + 79 * "."]
    with pytest.raises(csv_format.CsvFormatError) as error:
        csv_format.read(_write(tmp_path / "p.txt", lines))
    assert "line 2: question: has more than one solution" in str(error.value)
    assert "line 3: question: has no solution" in str(error.value)


def test_uniqueness_is_checked_on_demand(tmp_path):
    cell = int(np.flatnonzero(PUZZLES.questions[0])[0])
    rows = _rows()
    rows[0] = _spoil(rows[0], 1, lambda text: text[:cell] + "." + text[cell + 1 :])
    path = _write(tmp_path / "p.csv", [HEADER, *rows])
    assert len(csv_format.read(path)) == len(PUZZLES)
    with pytest.raises(csv_format.CsvFormatError, match="line 2: question: has more than one"):
        csv_format.read(path, check_unique=True)


def test_long_lists_of_bad_rows_are_cut(tmp_path):
    with pytest.raises(csv_format.CsvFormatError) as error:
        csv_format.read(_write(tmp_path / "p.csv", [HEADER, *["here,1,2,3"] * 50]))
    text = str(error.value)
    assert "50 unusable row(s)" in text
    assert text.count("\n  line ") == 20
    assert "\n  line 21: question: " in text
    assert "and 30 more\nCorrect or delete these lines" in text


def test_reading_stops_when_nearly_all_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_format, "_CHUNK_ROWS", 10)
    monkeypatch.setattr(csv_format, "_MOST_PROBLEMS", 25)
    with pytest.raises(csv_format.CsvFormatError, match=r"30 unusable row") as error:
        csv_format.read(_write(tmp_path / "p.csv", [HEADER, *["here,1,2,3"] * 50]))
    assert "and 10 more\n" in str(error.value)
    assert "reading stopped near line 31" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"question,answer\n", "no puzzle below it"),
        (b"puzzle,solution\n1,2\n", "must be a header that names the column `question`"),
        (b"question\n" + "é".encode() * 40, "plain ASCII"),
        (b'question\n"' + b"1" * 200_000, "field larger"),
    ],
)
def test_files_that_are_no_puzzle_files(tmp_path, content, message):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(csv_format.CsvFormatError, match=message):
        csv_format.read(tmp_path / "p.csv")


def test_compression_must_match_the_name(tmp_path):
    (tmp_path / "p.csv.gz").write_bytes(b"question\n")
    with pytest.raises(csv_format.CsvFormatError, match=r"compressed exactly when .* \.gz"):
        csv_format.read(tmp_path / "p.csv.gz")
    (tmp_path / "q.csv.gz").write_bytes(gzip.compress(b"question\n" * 100)[:-9])
    with pytest.raises(csv_format.CsvFormatError, match="not readable"):
        csv_format.read(tmp_path / "q.csv.gz")
    with pytest.raises(FileNotFoundError):
        csv_format.read(tmp_path / "none.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode())
    with pytest.raises(csv_format.CsvFormatError):
        csv_format.read(path)


def test_write_refuses_what_it_cannot_quote(tmp_path):
    with pytest.raises(ValueError, match="no comma"):
        csv_format.write(tmp_path / "p.csv", PUZZLES.take(slice(0, 1)), ["a,b"])
    with pytest.raises(ValueError, match="argument"):
        csv_format.write(tmp_path / "p.csv", PUZZLES, ["a"])
