"""Puzzle files are read with what is missing computed; every way to be wrong has its message."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hrm_jax.core.files import TextError
from hrm_jax.data.sudoku import csv_format, generator, puzzle_files, rules

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
    _assert_same(puzzle_files.read(tmp_path / name, check_unique=True))


def test_columns_in_any_order_with_others_between(tmp_path):
    rows = [
        f"{rating},x,{answer},{question.replace('.', '0')}"
        for question, answer, rating in zip(QUESTIONS, ANSWERS, PUZZLES.ratings, strict=True)
    ]
    _assert_same(
        puzzle_files.read(_write(tmp_path / "p.csv", ["Rating,id,ANSWER, question", *rows]))
    )


def test_missing_columns_are_computed(tmp_path):
    pairs = [f"{q},{a}" for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    _assert_same(puzzle_files.read(_write(tmp_path / "qa.csv", ["question,answer", *pairs])))
    _assert_same(puzzle_files.read(_write(tmp_path / "q.csv", ["question", *QUESTIONS])))
    _assert_same(puzzle_files.read(_write(tmp_path / "lines.txt", QUESTIONS)))


def test_blank_lines_and_foreign_line_ends_are_passed_over(tmp_path):
    path = tmp_path / "p.csv"
    path.write_bytes("\r\n".join([HEADER, "", *_rows(), ""]).encode())
    _assert_same(puzzle_files.read(path))


def test_many_chunks_keep_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr(puzzle_files, "_CHUNK", 7)
    _assert_same(puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, *_rows()])))


def _spoil(row, column, change):
    fields = row.split(",")
    fields[column] = change(fields[column])
    return ",".join(fields)


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        (1, lambda text: text[:-1], "a puzzle has 81 characters.*has 80"),
        (1, lambda text: text[:9] + "k" + text[10:], "a puzzle .*character 10 is 'k'"),
        (1, lambda text: 256 * ".", "a puzzle of 16x16 cells; the sizes .* are: 9x9"),
        (2, lambda text: text + "1", "answer: a puzzle has 81 characters.*has 82"),
        (2, lambda text: "." + text[1:], "answer: r1c1 is blank"),
        (2, lambda text: text[1] + text[0] + text[2:], "answer: "),
        (2, lambda text: text.translate(str.maketrans("12", "21")), "answer: .* question gives"),
        (3, lambda text: "-1", "rating: expected a number of at least 0, not '-1'"),
        (3, lambda text: "hard", "rating: .* not 'hard'"),
        (3, lambda text: "99999999999", "rating: .* not '99999999999'"),
        (3, lambda text: text + ",extra", "has 5 field.*expected 4"),
    ],
)
def test_a_bad_row_is_reported_by_line(tmp_path, column, change, message):
    rows = _rows()
    rows[4] = _spoil(rows[4], column, change)
    path = _write(tmp_path / "p.csv", [HEADER, *rows])
    with pytest.raises(
        puzzle_files.PuzzleFileError, match=f"1 unusable puzzle.*\n  line 6: {message}"
    ):
        puzzle_files.read(path)


def test_an_answer_that_breaks_the_rules(tmp_path):
    row = f"here,{81 * '.'},{81 * '1'},0"
    with pytest.raises(
        puzzle_files.PuzzleFileError, match="line 2: answer: breaks the rules at r1c1"
    ):
        puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, row]))


def test_missing_answers_must_be_unique(tmp_path):
    lines = [QUESTIONS[0], 81 * ".", "11" + 79 * "."]
    with pytest.raises(puzzle_files.PuzzleFileError) as error:
        puzzle_files.read(_write(tmp_path / "p.txt", lines))
    assert "line 2: the puzzle has more than one solution" in str(error.value)
    assert "line 3: equal digits share a row, column or box: r1c1=1, r1c2=1" in str(error.value)


def test_uniqueness_is_checked_on_demand(tmp_path):
    cell = int(np.flatnonzero(PUZZLES.questions[0])[0])
    rows = _rows()
    rows[0] = _spoil(rows[0], 1, lambda text: text[:cell] + "." + text[cell + 1 :])
    path = _write(tmp_path / "p.csv", [HEADER, *rows])
    assert len(puzzle_files.read(path)) == len(PUZZLES)
    with pytest.raises(puzzle_files.PuzzleFileError, match="line 2: the puzzle has more than one"):
        puzzle_files.read(path, check_unique=True)


def test_long_lists_of_bad_rows_are_cut(tmp_path):
    with pytest.raises(puzzle_files.PuzzleFileError) as error:
        puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, *["here,1,2,3"] * 50]))
    text = str(error.value)
    assert "50 unusable puzzle(s)" in text
    assert text.count("\n  line ") == 20
    assert "\n  line 21: a puzzle has 81 characters" in text
    assert "and 30 more\nCorrect or delete these lines" in text


def test_reading_stops_when_nearly_all_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(puzzle_files, "_CHUNK", 10)
    monkeypatch.setattr(puzzle_files, "_MOST_PROBLEMS", 25)
    with pytest.raises(puzzle_files.PuzzleFileError, match=r"30 unusable puzzle") as error:
        puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, *["here,1,2,3"] * 50]))
    assert "and 10 more\n" in str(error.value)
    assert "reading stopped near line 31" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a puzzle, found none: give 81 characters a line, 9 lines of 9, or a table"),
        (b"question,answer\n", "found none"),
        (b"Some prose, no puzzle.\n", "found none"),
        (b"puzzle,solution\n1,2\n", "line 2: a puzzle has 81 characters"),
        (b"id,question\n" + "1,é".encode() * 40, "line 2: has 41 field"),
        (b'id,question\n1,"' + b"1" * 200_000, "line 2: cannot be read as a table"),
        (gzip.compress(b"question,id\n" * 100)[:-9], "cannot be unpacked"),
    ],
    # Archives hold the time, and workers must collect the same names.
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)
def test_files_that_are_no_puzzle_files(tmp_path, content, message):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(puzzle_files.PuzzleFileError, match=message):
        puzzle_files.read(tmp_path / "p.csv")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        puzzle_files.read(tmp_path / "none.csv")


def test_text_in_another_encoding_is_named(tmp_path):
    (tmp_path / "p.csv").write_bytes("source,question\nMüller,1".encode("latin-1"))
    with pytest.raises(TextError, match=r"p\.csv, line 2: expected UTF-8"):
        puzzle_files.read(tmp_path / "p.csv")


def test_compression_is_known_by_content(tmp_path):
    text = "\n".join([HEADER, *_rows()]).encode()
    (tmp_path / "p.csv").write_bytes(gzip.compress(text))
    (tmp_path / "q.csv.gz").write_bytes(text)
    for name in ("p.csv", "q.csv.gz"):
        _assert_same(puzzle_files.read(tmp_path / name))


@pytest.mark.parametrize("text", ["", "nan", " ", "1.5"])
def test_ratings_that_are_none_of_ours_are_computed(tmp_path, text):
    rows = [_spoil(row, 3, lambda _: text) for row in _rows()]
    _assert_same(puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, *rows])))
    # One fraction tells the scale of all; an empty field tells nothing of the others.
    rows = [_spoil(row, 3, lambda _: "9.0") for row in _rows()[:-1]] + rows[-1:]
    ratings = puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, *rows])).ratings
    first = PUZZLES.ratings[0] if text == "1.5" else 9
    assert (ratings[0], ratings[-1]) == (first, PUZZLES.ratings[-1])


def test_a_fraction_in_a_later_chunk_tells_the_scale_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(puzzle_files, "_CHUNK", 7)
    rows = [_spoil(row, 3, lambda _: "9") for row in _rows()]
    rows[12] = _spoil(rows[12], 3, lambda _: "2.5")
    _assert_same(puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, *rows])))
    rows[2] = _spoil(rows[2], 1, lambda _: 81 * ".")
    path = _write(tmp_path / "q.csv", [HEADER, *rows])
    with pytest.raises(puzzle_files.PuzzleFileError, match="line 4: the puzzle has more than one"):
        puzzle_files.read(path)
    kept = np.delete(np.arange(len(PUZZLES)), 2)
    _assert_same(puzzle_files.read(path, skip_bad=True), PUZZLES.take(kept))


def test_answers_may_be_missing_in_some_rows(tmp_path):
    rows = [row if i % 2 else _spoil(row, 2, lambda _: "") for i, row in enumerate(_rows())]
    _assert_same(puzzle_files.read(_write(tmp_path / "p.csv", [HEADER, *rows])))


def test_cells_of_a_table_may_be_separated(tmp_path):
    rows = [f'"{" ".join(q)}"|"{" ".join(a)}"' for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    lines = ["question,answer", *(row.replace("|", ",") for row in rows)]
    _assert_same(puzzle_files.read(_write(tmp_path / "p.csv", lines)))


def test_bad_puzzles_are_left_out_on_demand_and_told(tmp_path, caplog):
    rows = _rows()
    rows[4] = _spoil(rows[4], 1, lambda text: text[:-1])
    rows[9] = _spoil(rows[9], 2, lambda text: "." + text[1:])
    rows[11] = _spoil(rows[11], 3, lambda text: "-1")
    path = _write(tmp_path / "p.csv", [HEADER, *rows])
    with pytest.raises(puzzle_files.PuzzleFileError, match=r"3 unusable(.|\n)*--skip_bad"):
        puzzle_files.read(path)
    kept = [row for row in range(len(PUZZLES)) if row not in (4, 9, 11)]
    _assert_same(puzzle_files.read(path, skip_bad=True), PUZZLES.take(np.array(kept)))
    (message,) = caplog.messages
    for line in (6, 11, 13):
        assert f"\n  line {line}: " in message
    assert message.endswith("skipped; 27 puzzle(s) are left")


def test_what_has_no_unique_solution_is_left_out_too(tmp_path):
    path = _write(tmp_path / "p.txt", [81 * ".", *QUESTIONS, "11" + 79 * "."])
    _assert_same(puzzle_files.read(path, skip_bad=True))


def test_something_must_be_left(tmp_path):
    path = _write(tmp_path / "p.txt", [81 * ".", "53..7"])
    with pytest.raises(puzzle_files.PuzzleFileError, match="2 unusable puzzle"):
        puzzle_files.read(path, skip_bad=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
@example("0\0000\0")  # as UTF-16 has it
def test_any_text_is_refused(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode())
    with pytest.raises((puzzle_files.PuzzleFileError, TextError)):
        puzzle_files.read(path)
