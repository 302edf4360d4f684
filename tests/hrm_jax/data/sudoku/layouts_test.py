"""Puzzles are found in what programs, lists and tables write; what is unsure is a problem."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.data.sudoku import cell_text, layouts
from hrm_jax.data.sudoku.tables import Problem, Record

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
OTHER = "64..8....7..216....19....7.9...7...45..9.4..28...3...7.7....39....521..6....9..81"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
ZEROS = PUZZLE.replace(".", "0")


def rows_of(puzzle):
    return [puzzle[first : first + 9] for first in range(0, 81, 9)]


def boxed(row, bar="|"):
    return f"{bar}{row[:3]}{bar}{row[3:6]}{bar}{row[6:]}{bar}"


def framed(puzzle, bar="|", above="*-----------*", between="|---+---+---|"):
    rows = [boxed(row, bar) for row in rows_of(puzzle)]
    bands = [rows[:3], [between], rows[3:6], [between], rows[6:]]
    return "\n".join([above, *(row for band in bands for row in band), above])


def joined(puzzle, separator, empty="."):
    return "\n".join(separator.join(row).replace(".", empty) for row in rows_of(puzzle))


GRID = "\n".join(rows_of(PUZZLE))
OTHER_GRID = "\n".join(rows_of(OTHER))
BANDS = "\n\n".join("\n".join(rows_of(PUZZLE)[first : first + 3]) for first in (0, 3, 6))
DASHED_ROW = PUZZLE.replace("6..195...", 9 * ".", 1)
NESTED = [[int(cell) for cell in row] for row in rows_of(ZEROS)]
STATE = "\n".join(rows_of("1" + ANSWER[1:]))
BOX_DRAWING = framed(PUZZLE, "│", "┌───┬───┬───┐", "├───┼───┼───┤")

ONE = {
    "s01_sudocue": f"#AQA\n#DMade up\n#CComment line\n#LEasy\n{GRID}",
    "s01_sections": f"[Puzzle]\n{GRID}\n[State]\n{STATE}\n[PencilMarks]\n1,2,3",
    "s02_simple": framed(PUZZLE),
    "s02_stars": framed(PUZZLE.replace(".", "*")),
    "s02_dashes": framed(PUZZLE.replace(".", "-")),
    "s02_plus": framed(PUZZLE, "|", "+---+---+---+", "+---+---+---+"),
    "s02_box_drawing": BOX_DRAWING,
    "s02_dots_and_dashes": framed(PUZZLE, "|", ".---.---.---.", ":---+---+---:"),
    "s02_spaced": "\n------+-------+------\n".join(
        "\n".join(" | ".join(" ".join(row[i : i + 3]) for i in (0, 3, 6)) for row in band)
        for band in (rows_of(PUZZLE)[:3], rows_of(PUZZLE)[3:6], rows_of(PUZZLE)[6:])
    ),
    "s02_line_as_long_as_a_row": f"---------\n{GRID}\n---------",
    "s05_lines": GRID,
    "s05_bands": BANDS,
    "s05_double_spaced": GRID.replace("\n", "\n\n"),
    "s05_spaced": joined(PUZZLE, " "),
    "s05_commas": joined(PUZZLE, ","),
    "s05_commas_at_the_end": joined(PUZZLE, ",").replace("\n", ",\n") + ",",
    "s05_spreadsheet": joined(PUZZLE, ",", empty=""),
    "s05_spreadsheet_semicolons": joined(PUZZLE, ";", empty=""),
    "s05_spreadsheet_tabs": joined(PUZZLE, "\t", empty=""),
    "s05_markdown": "\n".join(
        "| " + " | ".join(row).replace(".", " ") + " |" for row in rows_of(PUZZLE)
    ),
    "s05_one_line": " ".join(PUZZLE),
    "s05_nine_groups": " ".join(rows_of(PUZZLE)),
    "s06_trailing_hash": f"{PUZZLE} # 30 clues",
    "s06_trailing_er": f"{PUZZLE}  ED=1.2/1.2/1.2",
    "s06_trailing_rating": f"{PUZZLE},7.1",
    "s06_leading_number": f"17 {PUZZLE}",
    "s06_comment_line": f"# hardest puzzles, made up\n// more\n; and more\n{PUZZLE}",
    "s06_number_with_a_mark": f"Game #1: {PUZZLE}",
    "s06_address": f"http://example.com/?bd={PUZZLE}",
    "s06_row_with_a_comment": GRID.replace("\n", " # of nine\n", 1),
    "s06_title": f"Grid 01\n{GRID}",
    "s06_number": f"1.\n{GRID}",
    "s06_title_of_one_column": f"question\n{PUZZLE}",
    "s06_title_with_a_comma": f"Sudoku, easy\n{PUZZLE}",
    "s06_title_with_a_comma_of_commas": f"Sudoku, easy\n\n{joined(PUZZLE, ',')}",
    "s06_title_with_a_semicolon": f"Puzzle; hard\n{GRID}",
    "s06_letters": f"abc\n{GRID}",
    "s06_letter_and_number": f"A1\n\n{GRID}",
    "s06_letter_and_number_of_a_line": f"A1:\n{PUZZLE}",
    "s06_fence": f"```\n{GRID}\n```",
    "s06_fence_of_a_kind": f"~~~text\n{PUZZLE}\n~~~",
    "s06_foreign_title": f"数独 42\n{PUZZLE}",
    "s07_kaggle1m": f"quizzes,solutions\n{ZEROS},{ANSWER}",
    "s07_kaggle9m": f"puzzle,solution\n{ZEROS},{ANSWER}",
    "s07_other_order": f"id,solution,puzzle\n1,{ANSWER},{ZEROS}",
    "s07_unknown_column": f"board,solution\n{PUZZLE},{ANSWER}",
    "s07_without_header": f"{ZEROS},{ANSWER}",
    "s07_json_lines": f'{{"solution": "{ANSWER}", "quiz": "{PUZZLE}"}}',
    "s09_trailing_space": f"{PUZZLE} \t",
    "s13_accent": f"source,question,answer\nMüller,{PUZZLE},{ANSWER}",
    "s14_semicolon": f"sep=;\nsource;question;answer\na;{PUZZLE};{ANSWER}",
    "s14_tabs": f"question\tanswer\n{PUZZLE}\t{ANSWER}",
    "s14_quotes": f'"source","question"\n"a, b","{PUZZLE}"',
    "s14_grid_in_a_field": f'id,puzzle\n1,"{GRID}"',
    "s20_nested_list": repr(NESTED),
    "s20_nested_list_in_code": f"grid = np.array({NESTED}, dtype=np.int8)",
    "s20_nested_list_in_lines": repr(NESTED).replace("], [", "],\n ["),
    "s20_numpy": "\n".join(
        f"{'[[' if i == 0 else ' ['}{' '.join(row)}{']]' if i == 8 else ']'}"
        for i, row in enumerate(rows_of(ZEROS))
    ),
    "s20_strings": repr([list(row) for row in rows_of(PUZZLE)]),
    "s21_hodoku_library": f":0000:x:{PUZZLE}:::",
    "s21_hodoku_filled_in": ":0300:4:" + PUZZLE.replace("..7", "+4.7", 1) + ":112 345:421::",
    "s21_xml": f'<opensudoku>\n<game data="{ZEROS}"/>\n</opensudoku>',
    "answer in the next line": f"{PUZZLE}\n{ANSWER}",
    "answer in the next grid": f"Puzzle\n{GRID}\n\nSolution\n" + "\n".join(rows_of(ANSWER)),
    **{
        f"s03_{blank}": PUZZLE.replace(".", blank) for blank in cell_text.BLANKS
    },
    **{
        f"s03_{blank}_grid": "\n".join(rows_of(PUZZLE.replace(".", blank)))
        for blank in cell_text.BLANKS
    },
}  # fmt: skip
"""Texts with one puzzle, by kind."""

TWO = {
    "s04_many": f"{ZEROS}\n{OTHER.replace('.', '0')}",
    "s04_many_grids": f"{GRID}\n\n{OTHER_GRID}",
    "s04_many_grids_without_a_gap": f"{GRID}\n{OTHER_GRID}",
    "s04_many_bands": BANDS + "\n\n" + OTHER_GRID,
    "s04_titles": f"Grid 01\n{GRID}\nGrid 02\n{OTHER_GRID}\n",
    "s04_names": f"A1\n{GRID}\nA2\n{OTHER_GRID}\n",
    "s04_fences": f"```\n{GRID}\n```\n```\n{OTHER_GRID}\n```",
    "s04_numbers": f"1\n{GRID}\n2\n{OTHER_GRID}\n",
    "s04_frames": framed(PUZZLE) + "\n" + framed(OTHER),
    "s04_lines_and_grids": f"{PUZZLE}\n{OTHER_GRID}",
    "s04_nested_list": repr([NESTED, [[int(c.replace(".", "0")) for c in OTHER]]]),
    "s07_table": f"# of today\nquestion,rating\n{PUZZLE},1\n\n# more\n{OTHER},2",
    "s20_list_of_strings": f'["{PUZZLE}","{OTHER}"]',
    "s20_list_of_strings_with_an_answer": f"[['{PUZZLE}', '{ANSWER}'], ['{OTHER}']],",
    "s20_nested_lists": f"{NESTED}\n{[[int(c) for c in OTHER.replace('.', '0')]]}",
}
"""Texts with two."""


def find(text):
    return list(layouts.find_puzzles(text.split("\n")))


def cells(record):
    assert isinstance(record, Record), record
    return re.sub(r"[^1-9]", ".", cell_text.compact(record.question))


@pytest.mark.parametrize("kind", ONE)
def test_the_puzzle_is_found(kind):
    (record,) = find(ONE[kind])
    assert isinstance(record, Record)
    assert cells(record) == PUZZLE
    answered = "answer" in kind or "solution" in kind or kind.startswith("s07")
    assert record.answer in ((ANSWER,) if answered else (None, ANSWER))


@pytest.mark.parametrize("kind", TWO)
def test_both_puzzles_are_found(kind):
    assert [cells(record) for record in find(TWO[kind])] == [PUZZLE, OTHER]


def test_a_row_of_dashes_is_blank_where_dashes_are_blanks():
    for blank in "-*_":
        text = "\n".join(rows_of(DASHED_ROW.replace(".", blank)))
        assert [cells(record) for record in find(text)] == [DASHED_ROW]


def test_lines_are_counted_from_the_first_of_the_file():
    assert [record.line for record in find(f"# x\n\n{PUZZLE}\n\n\n{GRID}")] == [3, 6]
    assert find(f"# x\nquestion,id\n\n{PUZZLE},7")[0].line == 4


WIDE = "1.3.5.7.9.B.D.F."
SHORT = "\n".join(rows_of(PUZZLE)[:8])
SEVERAL = "which of them is the puzzle is not said: name the columns .* question,answer"
CANDIDATES = "| 5  3  124 | 26 7 2468 | 14 149 24 |"
BAD = {
    "s10_16x16": (WIDE * 16, 1, "a puzzle of 16x16 cells; the sizes .* 9x9"),
    "s10_16x16_grid": ("\n".join([WIDE] * 16), 1, "a puzzle of 16x16 cells"),
    "s10_16x16_numbers": ("\n".join(["16 . 3 12" + 12 * " 0"] * 16), 1, "a puzzle of 16x16"),
    "s10_16x16_list": (repr([[16, 0] * 8] * 16), 1, "a puzzle of 16x16"),
    "s10_25x25": ("ABCDEFGHIJKLMNOPQRSTUVWXY" * 25, 1, "a puzzle of 25x25 cells"),
    "s10_6x6": ("12...." * 6, 1, "a puzzle of 6x6 cells"),
    "s10_4x4": ("12..\n....\n....\n..34", 1, "a puzzle of 4x4 cells"),
    "two puzzles": (f"{PUZZLE},{OTHER}", 1, f"2 grids .*{SEVERAL}"),
    "two solutions": (f"{ANSWER},{ANSWER}", 1, SEVERAL),
    "three grids": (f"{PUZZLE},{ANSWER},{ANSWER}", 1, SEVERAL),
    "two columns": (f"puzzle,question\n{PUZZLE},{OTHER}", 1, "columns puzzle and question may"),
    "two answers": (f"question,answer,solution\n{PUZZLE},,", 1, "columns answer and solution may"),
    "too few fields": (f"question,answer\n{PUZZLE}", 2, r"has 1 field\(s\), expected 2"),
    "an open quote": ('question,id\n"' + 200_000 * "1", 2, "cannot be read as a table"),
    "too short": (f"{PUZZLE}\n{PUZZLE[:-1]}", 2, "a puzzle has 81 characters.*has 80"),
    "too long": (f"{PUZZLE}\n{PUZZLE}.", 2, "a puzzle has 81 characters.*has 82"),
    "cut off": (f"{PUZZLE}\n53..7", 2, "a puzzle has 81 characters.*has 5"),
    "a number": (f"{PUZZLE}\n530", 2, "a puzzle has 81 characters.*has 3"),
    "a letter": (f"{PUZZLE}\nk{PUZZLE[1:]}", 2, "character 1 is 'k'"),
    "a letter in a row": (GRID.replace("6..195", "6..l95"), 2, "character 4 is 'l'"),
    "a letter in a spaced row": (joined(PUZZLE, " ").replace("6", "O", 1), 2, "1 is 'O'"),
    "a short row": (GRID.replace("6..195...", "6..195.."), 2, "a row has 9 cells.*has 8"),
    "a row of ten": (joined(PUZZLE, ",") + ",1", 9, "a row has 9 cells, but this one has 10"),
    "eight rows": (SHORT, 1, "9 rows of 9 cells, but up to line 8 there are 8 rows"),
    "eight rows and nine": (f"{SHORT}\n\n{GRID}", 1, "up to line 8 there are 8 rows"),
    "ten rows": (f"{GRID}\n{PUZZLE[:9]}", 1, "up to line 10 there are 10 rows, .* of 9: compl"),
    "eight rows and nine without a gap": (f"{SHORT}\n{GRID}", 1, "17 rows, which is no multiple"),
    "a grid and a row cut off": (f"{GRID}\n53..7", 1, r"10 rows, .*line 10 has 5 cell\(s\)"),
    "rows of ten": ("\n".join(row + "1" for row in rows_of(PUZZLE)), 1, "the first of 10 cells"),
    "dashes both ways": (f"---------\n{GRID.replace('.', '-')}", 1, "there are 10 rows"),
    "number": (f"{PUZZLE}\n#2 {OTHER}", 2, "looks like a puzzle in a comment: delete what"),
    "number at first": (f"#1 {PUZZLE}\n{OTHER}", 1, "looks like a puzzle in a comment"),
    "code": (f"// {PUZZLE}\nquestion,id\n{OTHER},7", 1, "looks like a puzzle in a comment"),
    "answers": (f"{ANSWER}", 1, "a full grid, which is no puzzle, nor the answer of the one"),
    "answers in a column": (f"solution\n{ANSWER}", 2, "a full grid, which is no puzzle"),
    "a table of answers": (f"id,solution\n1,{ANSWER}", 1, "columns id, solution none is the puz"),
    "an answer of another": (f"{OTHER}\n{ANSWER}", 2, "a full grid"),
    "a second answer": (f"{PUZZLE}\n{ANSWER}\n{ANSWER}", 3, "a full grid"),
    "candidates": (CANDIDATES, 1, "candidates, which are not read: export the givens"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_is_a_problem_with_its_line(kind):
    text, line, message = BAD[kind]
    problems = [item for item in find(text) if isinstance(item, Problem)]
    assert [problem.line for problem in problems] == [line]
    assert re.search(message, problems[0].message), problems[0].message


def test_what_is_beside_a_bad_grid_is_found():
    text = f"{SHORT}\n\n{GRID}\n\n{GRID.replace('6..195', '6..l95')}\n\n{OTHER_GRID}"
    found = find(text)
    assert [type(item) for item in found] == [Problem, Record, Problem, Record]
    assert [cells(found[1]), cells(found[3])] == [PUZZLE, OTHER]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# a comment", f"# {81 * '.'}", "a title", "+---+---+", "[Puzzle]"]
)
def test_there_may_be_nothing(text):
    assert find(text) == []


STYLES = {
    "line": lambda puzzle: puzzle,
    "line with a comment": lambda puzzle: f"{puzzle} # by hand",
    "line with a rating": lambda puzzle: f"{puzzle};7.2;hard",
    "spaced line": " ".join,
    "library": lambda puzzle: f":0000:x:{puzzle}:::",
    "grid": lambda puzzle: "\n".join(rows_of(puzzle)) + "\n",
    "spaced grid": lambda puzzle: joined(puzzle, " ") + "\n",
    "comma grid": lambda puzzle: joined(puzzle, ",") + "\n",
    "frame": framed,
    "frame of plus": lambda puzzle: framed(puzzle, "|", "+---+---+---+", "+---+---+---+"),
    "box drawing": lambda puzzle: framed(puzzle, "║", "╔═══╦═══╦═══╗", "╠═══╬═══╬═══╣"),
    "list": lambda puzzle: repr([list(row) for row in rows_of(puzzle)]),
    "section": lambda puzzle: "[Puzzle]\n" + "\n".join(rows_of(puzzle)) + "\n[State]\n1\n[Puzzle]",
    "title": lambda puzzle: "Puzzle of the day\n" + "\n".join(rows_of(puzzle)),
}
# A full grid may be the answer of the puzzle before it, so these have at least a blank.
puzzles = st.text("123456789.", min_size=80, max_size=80).map(lambda text: text + ".")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(puzzles, st.sampled_from(sorted(STYLES))), min_size=1, max_size=4),
    st.sampled_from(".0_xX?-*"),
)
def test_what_was_written_in_any_style_is_read_back(written, blank):
    # Nine dashes alone are a row only where another row of the file has dashes beside digits.
    written = [("1" + puzzle[1:], style) for puzzle, style in written]
    written = [
        (re.sub(r"(?<=^.{9})((?:.{9})*?)\.{9}", lambda m: m[1] + "2" + 8 * ".", puzzle), style)
        for puzzle, style in written
    ]
    text = "\n".join(STYLES[style](puzzle.replace(".", blank)) for puzzle, style in written)
    assert [cells(record) for record in find(text)] == [puzzle for puzzle, _ in written]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="1230.-*_x?|+=,;:[](){}#/ \t\n\"'ABGz数", max_size=300))
def test_any_text_is_read_or_has_problems(text):
    for item in find(text):
        assert isinstance(item, Record | Problem)
        assert 1 <= item.line <= text.count("\n") + 1
