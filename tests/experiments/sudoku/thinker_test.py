"""What the studio is told while a puzzle is solved, of every size that the command reads."""

import json

import numpy as np
import pytest

from experiments.sudoku import exported, thinker
from hrm_jax.data.sudoku import board_generator, rules
from hrm_jax.data.sudoku.boards import Board, format_grid
from tests.experiments.sudoku.scripted import EASY, MINUTE, SOLUTION, stubborn

SIX = Board(2, 3)
PUZZLES = board_generator.generate(np.random.default_rng(0), SIX, "singles", 1)
TEXT = format_grid(PUZZLES.questions[0], SIX)


@pytest.fixture
def ask(capsys):
    """A function that returns what is told for questions."""

    def ask(*questions):
        thinker.answer(exported.shipped(), map(json.dumps, questions))
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return ask


def test_a_puzzle_of_six_rows_is_solved_once_the_shape_of_its_boxes_is_named(ask):
    open_, drawn, *steps, done = ask({"puzzle": TEXT}, {"puzzle": TEXT, "box": "2x3"})
    assert "boxes may have 2x3 or 3x2 cells" in open_["error"]
    assert open_["boxes"] == [[2, 3], [3, 2]]
    assert drawn == {"givens": TEXT, "box": [2, 3]}
    assert steps[-1]["digits"] == format_grid(PUZZLES.answers[0], SIX)
    assert {len(step["sureness"]) for step in steps} == {36}
    assert [step["step"] for step in steps] == list(range(1, len(steps) + 1))
    assert (done["done"], done["solved"], done["attempts"]) == (True, True, 1)
    assert done["by_rules"] is None
    assert done["title"].startswith("6x6 with boxes of 2x3: ")


def test_an_answer_that_no_proposal_is_comes_from_rules(ask, monkeypatch):
    monkeypatch.setattr(thinker.exported, "load_any", lambda *_: (*stubborn(), None))
    *steps, done = ask({"puzzle": rules.format_grid(EASY)})
    assert (done["solved"], done["attempt"], done["attempts"]) == (True, 2, 2)
    assert done["by_rules"] == rules.format_grid(SOLUTION)
    assert all(step["digits"] != done["by_rules"] for step in steps[1:])


def test_who_asks_says_whether_there_is_a_search(ask, monkeypatch):
    task, variables = stubborn()
    untested = type(task)(MINUTE)  # whose run is tested without a search
    monkeypatch.setattr(thinker.exported, "load_any", lambda *_: (untested, variables, None))
    puzzle = rules.format_grid(EASY)
    asked = [{"puzzle": puzzle, "search": search} for search in ("", "none", "tree")]
    told = [answer for answer in ask(*asked) if answer.get("done")]
    assert [one["attempts"] for one in told] == [1, 1, 2]
    assert [one["solved"] for one in told] == [False, False, True]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"puzzle": "53..7"}, "a puzzle has 81 characters"),
        ({"puzzle": f"{TEXT}\n{TEXT}", "box": "2x3"}, "expected one puzzle, got 2; leave one"),
        ({"puzzle": TEXT, "box": "3x3"}, "--box: expected 6 cells in a box"),
        ({"puzzle": TEXT, "box": "wide"}, "--box: expected rows x columns of a box"),
        ({"puzzle": 16 * "."}, "more than one solution"),
        ({"puzzle": 81 * ".", "box": "2x3"}, "--box: expected puzzles of 6 rows"),
    ],
)
def test_what_is_refused_says_why_before_a_model_is_loaded(ask, monkeypatch, question, message):
    monkeypatch.setattr(thinker.exported, "load_any", pytest.fail)
    (told,) = ask(question)
    assert message in told["error"]
    assert told["done"] is True
    assert "boxes" not in told
