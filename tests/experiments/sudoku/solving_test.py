"""Puzzles that can be solved are told from others, and answers that are right from others."""

import io
import types

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.rendering.trace import Trace
from experiments.sudoku import solving
from experiments.sudoku.presets import PRESETS
from hrm_jax.core.config import replace
from hrm_jax.data.sudoku import rules, solver
from hrm_jax.inference.thinking import Thoughts
from hrm_jax.tasks.sudoku.task import SudokuTask

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
EASY = rules.parse(PUZZLE)
SOLUTION = solver.solve(EASY)
# 5 in both of the first cells; a cell that no digit fits; and two givens too few.
CONFLICTING = "55" + PUZZLE[2:]
UNSOLVABLE = "." * 8 + "9" + "12345678." + "." * 63
AMBIGUOUS = PUZZLE.replace("5", ".").replace("8", ".")

BAD = {
    "53..7": "a puzzle has 81 characters.* but this one has 5",
    PUZZLE * 4: "a puzzle has 81 characters.* but this one has 324",
    "x" + PUZZLE[1:]: "character 1 is 'x'",
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

    ways = {"flag": str, "file": as_file, "standard input": as_standard_input}
    return ways[request.param]


def test_a_puzzle_is_read(give):
    (puzzle,) = solving.read_puzzles(give(PUZZLE))
    np.testing.assert_array_equal(puzzle, EASY)


@pytest.mark.parametrize(
    ("text", "message"),
    BAD.items(),
    ids=["too short", "too long", "character", "conflict", "no solution", "several solutions"],
)
def test_a_bad_puzzle_is_refused_with_its_reason(give, text, message):
    with pytest.raises(rules.PuzzleError, match=f"^[^:]*{message}"):
        solving.read_puzzles(give(text))


def test_no_puzzle_is_refused(give):
    with pytest.raises(rules.PuzzleError, match="expected a puzzle, got no text"):
        solving.read_puzzles(give("\n"))


def test_blank_lines_are_skipped_and_a_bad_line_is_named(tmp_path):
    path = tmp_path / "puzzles.txt"
    path.write_text(f"{PUZZLE}\n\n{PUZZLE}\n", encoding="utf-8")
    assert len(solving.read_puzzles(str(path))) == 2
    path.write_text(f"{PUZZLE}\n\n53..7\n", encoding="utf-8")
    with pytest.raises(rules.PuzzleError, match=r"^line 3: a puzzle has 81 characters"):
        solving.read_puzzles(str(path))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "puzzles.gz"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(rules.PuzzleError, match="character 1 is"):
        solving.read_puzzles(str(path))


TASK = SudokuTask(PRESETS["minute"])  # thinks nothing: its thoughts are given
WRONG_CELL = SOLUTION.copy()
WRONG_CELL[2] = 1
OTHER_GRID = np.roll(SOLUTION.reshape(9, 9), 3, axis=0).ravel()  # valid, but of another puzzle
INCOMPLETE = np.where(np.arange(81) == 2, 0, SOLUTION).astype(np.uint8)


@pytest.fixture
def solve(monkeypatch):
    """Solves EASY with a model that proposes these grids; returns the exit code and the text."""

    def solve(proposals, halt, *more):
        tokens = np.stack([rules.encode(grid) for grid in proposals])[:, None].astype(np.int32)
        wants_to_halt = (np.arange(len(proposals)) + 1 >= halt)[:, None]
        cells = np.ones(tokens.shape, np.float32)
        thoughts = Thoughts(tokens, np.full(wants_to_halt.shape, 0.25), wants_to_halt, cells)

        def think(model, variables, batch, *_):
            return jax.tree.map(lambda x: np.repeat(x, len(batch.inputs), axis=1), thoughts)

        monkeypatch.setattr(solving, "think", think)
        console = Console(file=io.StringIO(), width=120)
        code = solving.solve_all(TASK, None, [EASY], console, *more)
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
    ("solved_by", "changes", "asked", "answer"),
    [
        ((4, 0), {"max_steps": 8, "search.noise": 0.5}, [(4, 1)], "solved at step 4"),
        ((8, 0), {"max_steps": 8, "search.noise": 0.5}, [(4, 1), (8, 1)], "solved at step 8"),
        ((8, 3), {"max_steps": 8, "search.noise": 0.5}, [(4, 1), (8, 1), (8, 16)], "attempt 4"),
        ((4, 3), {"search.noise": 0.5}, [(4, 1), (4, 16)], "attempt 4"),
        ((4, 19), {"search.noise": 0.5}, [(4, 1), (4, 16), (4, 16)], "attempt 20"),
        ((8, 999), {"max_steps": 8, "search.noise": 0.5}, [(4, 1), (8, 1), *8 * [(8, 16)]], NOT),
        ((8, 3), {"max_steps": 8}, [(4, 1), (8, 1)], NOT),
        ((8, 3), {}, [(4, 1)], NOT),
    ],
)
def test_more_is_spent_on_what_stays_unsolved(monkeypatch, solved_by, changes, asked, answer):
    calls, traces = [], []

    def think(model, variables, batch, attempts, noise, seed):
        steps = model.config.halt_max_steps
        calls.append((steps, len(attempts)))
        grids = np.tile(WRONG_CELL, (steps, len(attempts), 1))
        if steps >= solved_by[0]:
            grids[-1, np.asarray(attempts) == solved_by[1]] = SOLUTION
        never, cells = np.zeros(grids.shape[:2], bool), np.ones(grids.shape, np.float32)
        tokens = rules.encode(grids).astype(np.int32)
        return Thoughts(tokens, np.full(never.shape, 0.25), never, cells)

    monkeypatch.setattr(solving, "think", think)
    monkeypatch.setattr(solving, "save_picture", lambda found, _: traces.extend(found))
    task = SudokuTask(replace(TASK.config, {f"test.{name}": x for name, x in changes.items()}))
    console = Console(file=io.StringIO(), width=120)
    code = solving.solve_all(task, None, [EASY], console, "picture")
    assert calls == asked
    assert code == (1 if answer == NOT else 0)
    assert answer in console.file.getvalue() + traces[0].title


def test_each_further_attempt_assumes_a_cell_of_the_first_answer(monkeypatch):
    assumed = []

    def think(model, variables, batch, attempts, noise, seed):
        steps, puzzles = model.config.halt_max_steps, rules.decode(np.asarray(batch.inputs))
        assumed.extend(puzzles[puzzles != EASY[None]])
        grids = np.tile(WRONG_CELL, (steps, len(puzzles), 1))
        grids[-1, np.asarray(attempts) == 3] = SOLUTION
        never, cells = np.zeros(grids.shape[:2], bool), np.ones(grids.shape, np.float32)
        tokens = rules.encode(grids).astype(np.int32)
        return Thoughts(tokens, np.full(never.shape, 0.25), never, cells)

    monkeypatch.setattr(solving, "think", think)
    changes = {"test.search.assume": True, "test.search.max_steps": 6}
    console = Console(file=io.StringIO(), width=120)
    task = SudokuTask(replace(TASK.config, changes))
    assert solving.solve_all(task, None, [EASY], console) == 0
    assert len(assumed) == 16  # in each attempt one cell more
    assert ", attempt 4, assuming " in console.file.getvalue()
    assert "solved at step 6" in console.file.getvalue()


def trace_of(digits, title=""):
    ones = np.ones(digits.shape[:2])
    return Trace(EASY, digits, ones, ones[:, 0], halt=1, title=title)


def test_all_of_several_puzzles_have_to_be_solved(monkeypatch):
    answers = iter([SOLUTION, WRONG_CELL])
    monkeypatch.setattr(solving, "_think", lambda *_: trace_of(next(answers)[None]))
    console = Console(file=io.StringIO())
    assert solving.solve_all(None, None, [EASY, EASY], console) == 1
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


def test_puzzles_in_a_picture_are_numbered_in_the_order_given(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(solving, "save_picture", lambda traces, path: drawn.extend(traces))
    think = lambda task, variables, puzzle, title: trace_of(SOLUTION[None], title)  # noqa: E731
    monkeypatch.setattr(solving, "_think", think)
    solving.solve_all(None, None, [EASY] * 2, Console(file=io.StringIO()), tmp_path / "two.png")
    titles = [trace.title for trace in drawn]
    assert titles == ["Puzzle 1: 30 givens, rating 0", "Puzzle 2: 30 givens, rating 0"]
