"""Tables: which lines are headers, which columns they name, and rows that do not fit."""

import pytest

from hrm_jax.data.sudoku.tables import Problem, Record, find_header, read_rows


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("question,answer", ","),
        ('"Question" ; "Answer"', ";"),
        ("id\tquizzes\tsolutions", "\t"),
        ("id, source, PUZZLE", ","),
        ("question", None),
        ("id,answer", ","),
        ("Sudoku, easy", None),
        ("Puzzle; 7", None),
        ("53..7....,6..195...", None),
        ("Puzzles of today: easy", None),
    ],
)
def test_a_header_names_the_puzzle_among_other_columns(text, delimiter):
    header = find_header(1, text, ["53..7....6..195..."])
    assert (header and header.delimiter) == delimiter


def read(text):
    first, *rest = text.split("\n")
    header = find_header(7, first, rest)
    assert header is not None
    return list(read_rows(header, rest))


def records(text):
    return [row for row in read(text) if isinstance(row, Record)]


@pytest.mark.parametrize("rows", ["a,b", "# 1\n\na\na,b", '"a\n\nb",c', 'a,"', '"' + 200_000 * "1"])
def test_a_header_with_other_names_has_rows_like_it(rows):
    assert find_header(1, "puzzle,mine", rows.split("\n")) is not None


def test_answers_alone_are_refused_by_name():
    (problem,) = read("id,solution\n1,S")
    assert isinstance(problem, Problem)
    assert "the columns id, solution none is the puzzle" in problem.message


def test_columns_are_found_by_name():
    assert read("rating,solution,x,quiz\n3,S,?,Q\n,nan,?,R") == [
        Record(8, "Q", "S", "3"),
        Record(9, "R", None, None),
    ]
    assert read("puzzle,difficulty\nQ,3") == [Record(8, "Q")]  # of another scale


def test_lines_are_numbered_beside_blank_lines_comments_and_fields_of_several_lines():
    text = '\n# a note\nQ,a\n\n"R\nS",b\nT,c'
    assert [(row.line, row.question) for row in records(f"question,id{text}")] == [
        (9, "Q"),
        (12, "R\nS"),
        (13, "T"),
    ]


def test_a_mark_of_comments_may_begin_a_row():
    puzzle = "1" + 80 * "."
    assert read(f"id,question,answer\n#1,Q,S\n# a, b\n#2,{puzzle}\n#3,R,T") == [
        Record(8, "Q", "S"),
        Problem(10, "has 2 field(s), expected 3"),
        Record(11, "R", "T"),
    ]


def test_rows_of_another_length_are_problems_and_the_others_are_read():
    assert read("question,id\nQ\nR,2\nS,3,4") == [
        Problem(8, "has 1 field(s), expected 2"),
        Record(9, "R"),
        Problem(10, "has 3 field(s), expected 2"),
    ]


def test_two_columns_of_one_meaning_are_asked_about():
    (problem,) = read("puzzle,question\nQ,R")
    assert problem == Problem(
        7,
        "the columns puzzle and question may each be the question: rename all but the one that is"
        " meant",
    )
