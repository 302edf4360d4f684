"""The syntax suite's turns and figures, of a writer that writes nothing."""

from experiments.benchmarks import syntax
from experiments.benchmarks.syntax import Options
from experiments.benchmarks.turns import Turn
from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.suites.problems import Problem, Suite
from hrm_jax.inference.text.python_syntax import PythonSyntax
from hrm_jax.inference.text.requests import Piece

BEFORE = "def f(x):\n"
EXAM = Exam("python", "", "", ("f",))
PROBLEMS = tuple(Problem(name, Prompt(BEFORE), EXAM, "", BEFORE) for name in "ab")
SUITE = Suite("toy", "python", PROBLEMS, ("\ndef",))


class Echo:
    """Writes `    return ` and the request's number, but two tokens less as Python."""

    def write(self, requests):
        for number, request in enumerate(requests):
            less = 2 if request.constraint else 0
            yield Piece(number, "    return ", 4 - less, None)
            yield Piece(number, str(number), 1, "end")


def test_contestants_differ_by_their_constraint_alone():
    requests = syntax.requests_of(SUITE, Options([], tokens=7))
    assert [one.constraint for one in requests["free"]] == [None, None]
    assert all(isinstance(one.constraint, PythonSyntax) for one in requests["Python"])
    for name in requests:
        assert [(one.seed, one.max_tokens, one.stop) for one in requests[name]] == [
            (0, 7, ("\ndef",)),
            (1, 7, ("\ndef",)),
        ]


def test_a_turn_counts_the_tokens_of_all_texts():
    requests = syntax.requests_of(SUITE, Options([]))
    turns = {name: syntax.turn_of(Echo(), own) for name, own in requests.items()}
    assert turns["free"].texts == ["    return 0", "    return 1"]
    assert [turn.tokens for turn in turns.values()] == [10, 6]


def test_programs_that_parse_are_counted():
    turns = {
        "free": [Turn(["    return 0", "    return ("], 8, 2.0)],
        "Python": [Turn(["    return 0", "    return 1"], 8, 4.0)],
    }
    free, python = syntax.figures(SUITE, turns)
    assert (free["texts_that_parse"], python["texts_that_parse"], python["texts"]) == (1, 2, 2)
    assert python["speed_ratio"] == {"median": 0.5, "low": 0.5, "high": 0.5}
