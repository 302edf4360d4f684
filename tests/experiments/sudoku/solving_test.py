"""Puzzles that can be solved are told from others, and answers that are right from others."""

import dataclasses
import gzip
import io
import types
import zipfile

import numpy as np
import pytest
from rich.console import Console

from experiments.rendering.trace import Trace
from experiments.sudoku import exported, solving
from hrm_jax.core.config import replace
from hrm_jax.core.files import TextError
from hrm_jax.data.sudoku import bank, puzzle_files, rules
from hrm_jax.data.sudoku.assuming import NumberedAssumptions
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError
from hrm_jax.inference.stream import Answers
from hrm_jax.tasks.sudoku.task import EvaluationConfig
from tests.experiments.sudoku.scripted import (
    EASY,
    MINUTE,
    PUZZLE,
    SOLUTION,
    WRONG_CELL,
    ScriptedTask,
    script,
    stubborn,
)

# 5 in both of the first cells; a cell that no digit fits; and two givens too few.
CONFLICTING = "55" + PUZZLE[2:]
UNSOLVABLE = "." * 8 + "9" + "12345678." + "." * 63
AMBIGUOUS = PUZZLE.replace("5", ".").replace("8", ".")

BAD = {
    "53..7": "a puzzle has 81 characters.* but this one has 5",
    PUZZLE * 4: "a puzzle has 81 characters.* but this one has 324",
    "k" + PUZZLE[1:]: "character 1 is 'k'",
    CONFLICTING: r"share a row, column or box: r1c1=5, r1c2=5",
    UNSOLVABLE: "the puzzle has no solution",
    AMBIGUOUS: "the puzzle has more than one solution",
}


@pytest.fixture(params=["flag", "file", "standard input"])
def give(request, tmp_path, monkeypatch):
    """What `--puzzle` is given for a text, in each of the three ways."""

    def as_file(text):
        (tmp_path / "puzzles.txt").write_text(text, encoding="utf-8")
        return str(tmp_path / "puzzles.txt")

    def as_standard_input(text):
        stream = types.SimpleNamespace(buffer=io.BytesIO(text.encode()))
        monkeypatch.setattr("sys.stdin", stream)
        return "-"

    return {"flag": str, "file": as_file, "standard input": as_standard_input}[request.param]


@pytest.mark.parametrize(
    "text",
    [
        PUZZLE,
        PUZZLE.replace(".", "-"),
        "\n".join(PUZZLE[first : first + 9] for first in range(0, 81, 9)),
        f"question,answer\n{PUZZLE},{rules.format_grid(SOLUTION)}",
    ],
    ids=["line", "dashes", "grid", "table"],
)
def test_a_puzzle_is_read(give, text):
    (puzzle,), _ = solving.read_puzzles(give(text))
    np.testing.assert_array_equal(puzzle, EASY)


@pytest.mark.parametrize(
    ("text", "message"),
    BAD.items(),
    ids=[
        *("too short", "too long", "character"),
        *("conflict", "no solution", "several solutions"),
    ],
)
def test_a_bad_puzzle_is_refused_with_its_reason(give, text, message):
    with pytest.raises(PuzzleFileError, match=rf"\n  line 1: .*{message}"):
        solving.read_puzzles(give(text))


def test_bad_puzzles_are_left_out_on_demand(give, caplog):
    puzzles, _ = solving.read_puzzles(
        give(f"{PUZZLE}\n{AMBIGUOUS}\n{PUZZLE}\n53..7"), skip_bad=True
    )
    assert len(puzzles) == 2
    assert "line 2: the puzzle has more than one solution" in caplog.text
    assert "line 4: a puzzle has 81 characters" in caplog.text


def test_a_wrong_answer_beside_a_puzzle_is_told(give):
    wrong = rules.format_grid(SOLUTION)[:-1] + "8"
    with pytest.raises(PuzzleFileError, match=r"line 2: answer: r9c9 is 8, but .* gives 9"):
        solving.read_puzzles(give(f"question,answer\n{PUZZLE},{wrong}"))


@pytest.mark.parametrize("text", ["nowhere/puzzles.txt", "puzzles.sdm", "/nowhere"])
def test_a_file_that_is_not_there_is_named(text):
    with pytest.raises(rules.PuzzleError, match=f"there is no file {text}$"):
        solving.read_puzzles(text)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match=str(tmp_path)):
        solving.read_puzzles(str(tmp_path))


def test_no_puzzle_is_refused(give):
    with pytest.raises(PuzzleFileError, match="expected a puzzle, found none"):
        solving.read_puzzles(give("\n"))


def test_archives_are_read_from_standard_input_too(monkeypatch):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("puzzles.txt", gzip.compress(PUZZLE.encode()))
    stream = types.SimpleNamespace(buffer=io.BytesIO(content.getvalue()))
    monkeypatch.setattr("sys.stdin", stream)
    assert len(solving.read_puzzles("-")[0]) == 1


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "puzzles.gz"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(TextError, match="line 1: expected UTF-8 text, got byte 0x80"):
        solving.read_puzzles(str(path))


OTHER_GRID = np.roll(SOLUTION.reshape(9, 9), 3, axis=0).ravel()  # valid, but of another puzzle
INCOMPLETE = np.where(np.arange(81) == 2, 0, SOLUTION).astype(np.uint8)


@pytest.fixture
def solve():
    """Solves EASY with a model that proposes these grids; returns the exit code and the text."""

    def solve(proposals, halt, *more):
        task = ScriptedTask(replace(MINUTE, {"model.halt_max_steps": len(proposals)}))
        console = Console(file=io.StringIO(), width=120)
        variables = script(np.stack(proposals)[None], halt=halt)
        code = solving.solve_all(task, variables, [EASY], console, *more)
        return code, console.file.getvalue()

    return solve


def test_a_right_answer_is_recognised_and_printed(solve):
    code, text = solve([WRONG_CELL, SOLUTION], halt=2)
    assert code == 0
    assert f"solved at step 2: {rules.format_grid(SOLUTION)}" in text
    conflicts = rules.conflicts(WRONG_CELL).sum()
    assert f"step 1: 51 cells filled, {conflicts} in conflict, 25% sure\n" in text
    assert "step 2: 51 cells filled, 1 changed, 0 in conflict, 25% sure, halts\n" in text


@pytest.mark.parametrize("halt", [1, 3])
def test_an_answer_that_the_halting_head_missed_counts(solve, halt):
    code, text = solve([WRONG_CELL, SOLUTION, WRONG_CELL], halt)
    assert code == 0
    assert "solved at step 2" in text


@pytest.mark.parametrize(
    "wrong", [WRONG_CELL, OTHER_GRID, INCOMPLETE, EASY], ids=["cell", "grid", "hole", "givens"]
)
def test_a_wrong_answer_is_never_passed_off_as_right(solve, wrong):
    code, text = solve([wrong, wrong], halt=2)
    assert code == 1
    assert "not solved" in text
    assert "solved at" not in text


def test_tokens_that_are_no_digits_are_blanks(solve):
    code, text = solve([np.full(81, 255, np.uint8)], halt=1)  # encoded, this is padding
    assert code == 1
    assert "step 1: 0 cells filled, 0 in conflict" in text
    assert "leaves 81 blank and changes 30 givens" in text


NOT = "not solved"


@pytest.mark.parametrize(
    ("solved_by", "changes", "spent", "answer"),
    [
        ((4, 0), {"max_steps": 8, "search.noise": 0.5}, (1, 4), "solved at step 4"),
        ((8, 0), {"max_steps": 8, "search.noise": 0.5}, (1, 8), "solved at step 8"),
        ((8, 3), {"max_steps": 8, "search.noise": 0.5}, (4, 8), "attempt 4"),
        ((4, 3), {"search.noise": 0.5}, (4, 4), "attempt 4"),
        ((4, 19), {"search.noise": 0.5}, (20, 4), "attempt 20"),
        ((8, 999), {"max_steps": 8, "search.noise": 0.5}, (129, 8), "not solved in 129 attempts"),
        ((8, 3), {"max_steps": 8}, (1, 8), NOT),
        ((8, 3), {}, (1, 4), NOT),
    ],
)
def test_more_is_spent_on_what_stays_unsolved(monkeypatch, solved_by, changes, spent, answer):
    """`spent`: the attempts made, and the steps of the one that is shown."""
    step, attempt = solved_by
    noise = changes.get("search.noise", 0.0)
    grids = np.tile(WRONG_CELL, (129 if noise else 1, 8, 1))
    if attempt < len(grids):
        grids[attempt, step - 1 :] = SOLUTION
    found = []
    monkeypatch.setattr(solving, "_show", lambda solution, _: found.append(solution))
    task = ScriptedTask(replace(MINUTE, {f"test.{name}": x for name, x in changes.items()}))
    solving.solve_all(task, script(grids, noise=noise), [EASY], Console(file=io.StringIO()))
    monkeypatch.undo()
    assert (int(found[0].answers.attempts[0]), found[0].trace.steps) == spent
    console = Console(file=io.StringIO(), width=120)
    code = solving.solve_all(task, script(grids, noise=noise), [EASY], console)
    assert code == (1 if answer.startswith(NOT) else 0)
    assert answer in console.file.getvalue()


def test_each_further_attempt_assumes_a_cell_of_the_first_answer():
    wrong = rules.encode(np.tile(WRONG_CELL, (4, 1)))
    seen = NumberedAssumptions()(rules.encode(np.tile(EASY, (4, 1))), wrong, np.arange(4), 0)
    seen[0] = rules.encode(EASY)
    assert ((seen != seen[0]).sum(-1) == [0, 1, 1, 1]).all()  # in each attempt one cell more
    grids = np.tile(WRONG_CELL, (4, 6, 1))
    grids[3, -1] = SOLUTION
    changes = {"test.search.assume": True, "test.search.max_steps": 6}
    console = Console(file=io.StringIO(), width=120)
    variables = script(grids, puzzles=rules.decode(seen))
    assert (
        solving.solve_all(ScriptedTask(replace(MINUTE, changes)), variables, [EASY], console) == 0
    )
    (cell,) = np.flatnonzero(seen[3] != seen[0])
    assumption = f"assuming {WRONG_CELL[cell]} in {rules.cell_name(int(cell))}"
    assert f", attempt 4, {assumption}" in console.file.getvalue()
    assert "solved at step 6" in console.file.getvalue()


def test_what_rules_lead_to_is_told_apart_from_what_the_model_proposes():
    console = Console(file=io.StringIO(), width=120)
    task, variables = stubborn()
    assert solving.solve_all(task, variables, [EASY], console) == 0
    text = console.file.getvalue()
    assert "attempt 2, with all cells by rules and assumptions" in text
    assert (
        "solved by rules and assumptions, which the model did not repeat: "
        f"{rules.format_grid(SOLUTION)}" in text
    )
    assert "not solved" not in text
    assert "solved at" not in text


@pytest.mark.parametrize(
    ("noise", "changes", "attempts"),
    [
        (0.5, {"search.attempts": 2}, 3),
        (0.5, {"search.attempts": 0}, 1),
        (0.5, {"max_steps": 2}, 129),
        (0.0, {"search.noise": 0.5}, 129),
    ],
)
def test_flags_say_how_much_is_spent(noise, changes, attempts):
    task = ScriptedTask(replace(MINUTE, {"test.search.noise": noise}))
    settings = solving.settings_of(task.config, changes)
    variables = script(np.tile(WRONG_CELL, (129, 4, 1)), noise=0.5)
    solution = solving.PuzzleSolver.make(task, variables, settings).solve(EASY)
    assert solution.answers.attempts[0] == attempts
    assert solution.trace.steps == changes.get("max_steps", 4)


def solution_of(digits, title=""):
    ones = np.ones(digits.shape[:2])
    trace = Trace(EASY, digits, ones, ones[:, 0], halt=1, title=title)
    one = np.ones(1, np.int32)
    tokens = rules.encode(digits[-1:])
    valid = np.array([trace.solved is not None])
    answers = Answers(tokens, one, one.astype(float), valid, one, one - 1, shown=tokens)
    return solving.Solution(trace, answers)


@pytest.fixture
def answer_with(monkeypatch):
    """Lets every solver answer with these grids, one after another."""

    def answer_with(*grids):
        answers = iter(grids)
        solver = types.SimpleNamespace(
            solve=lambda puzzle, title: solution_of(next(answers)[None], title)
        )
        monkeypatch.setattr(solving.PuzzleSolver, "make", lambda *_: solver)

    return answer_with


SETTINGS = EvaluationConfig()


def test_all_of_several_puzzles_have_to_be_solved(answer_with):
    answer_with(SOLUTION, WRONG_CELL)
    console = Console(file=io.StringIO())
    assert solving.solve_all(None, None, [EASY, EASY], console, settings=SETTINGS) == 1
    assert "1 of 2 puzzles solved" in console.file.getvalue()


def test_a_picture_shows_what_the_terminal_shows(solve, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(solving, "save_picture", lambda *arguments: drawn.append(arguments))
    _, text = solve([WRONG_CELL, SOLUTION], 2, tmp_path / "steps.gif")
    (((trace,), path),) = drawn
    assert path == tmp_path / "steps.gif"
    assert f"picture: {path}" in text
    assert (trace.halt, trace.solved) == (2, 2)
    assert trace.title == "30 givens, rating 0"
    np.testing.assert_array_equal(trace.digits, [WRONG_CELL, SOLUTION])


def test_puzzles_in_a_picture_are_numbered_in_the_order_given(tmp_path, monkeypatch, answer_with):
    drawn = []
    monkeypatch.setattr(solving, "save_picture", lambda traces, path: drawn.extend(traces))
    answer_with(SOLUTION, SOLUTION)
    console = Console(file=io.StringIO())
    solving.solve_all(None, None, [EASY] * 2, console, tmp_path / "two.png", SETTINGS)
    titles = [trace.title for trace in drawn]
    assert titles == ["Puzzle 1: 30 givens, rating 0", "Puzzle 2: 30 givens, rating 0"]


SEARCHED = """
1 14 27 44 60 79 93 102 115 129 148 170 176 191 212 244 255 281 301 318 324 340 356 390 402 409
416 449 465 476 499 521 528 546 555 565 579 609 630 635 659 678 680 702 716 720 766 807 824 832
849 870 884 904 914 932 956 964 978 1000 1005 1019 1030 1037 1055 1071 1083 1102 1106 1121 1124
1148 1170 1176 1188 1213 1223 1242 1248 1256 1271 1280 1332 1340 1358 1370 1401 1444 1468 1477
"""
"""Puzzles of the bank's test split that the shipped model does not solve within 16 steps."""


@pytest.mark.thorough
def test_a_trace_shows_the_answer_of_the_engine_on_searched_puzzles(request):
    """All of them take part with --optimised alone: each takes seconds otherwise."""
    numbers = SEARCHED.split()[:: 1 if request.config.option.optimised else 8]
    task, variables = exported.load(exported.shipped())
    # Attempts as long as in training: the shipped settings would try four times as long first.
    settings = dataclasses.replace(solving.settings_of(task.config), max_steps=16)
    puzzle_solver = solving.PuzzleSolver.make(task, variables, settings)
    puzzles = puzzle_files.read(str(bank.shipped_file("test"))).take(np.array(numbers, int))
    searched = solved = 0
    for question, answer in zip(puzzles.questions, puzzles.answers, strict=True):
        solution = puzzle_solver.solve(question)
        trace = solution.trace
        engine = solution.answers
        shown = trace.digits[trace.answer - 1]
        np.testing.assert_array_equal(rules.encode(shown), engine.tokens[0])
        assert trace.halt_confidence[trace.answer - 1] == engine.confidence[0]
        assert (trace.solved is not None) == engine.valid[0] == (shown == answer).all()
        searched += engine.attempts[0] > 1
        solved += engine.valid[0]
    # Rounding differs between machines, and may let a puzzle be solved sooner or later.
    assert searched >= len(numbers) - 2
    assert solved >= len(numbers) - 2
