"""CRUXEval-O, what a function returns: Gu et al., arXiv 2401.03065."""

from pathlib import Path

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.suites.problems import Kind, Problem, Suite, read_records

_FIELDS: dict[str, Kind] = dict.fromkeys(("code", "input", "output", "id"), "a text")


def load_cruxeval(folder: Path) -> Suite:
    """Returns the 800 functions, each as an assertion that a literal completes.

    Raises:
      SuiteError: as `read_records`.
    """
    problems = []
    for record in read_records(folder / "cruxeval.jsonl", _FIELDS):
        # It ends before the space, as tokenizers put a space to what follows it.
        prompt = f"{record['code']}\n\nassert f({record['input']}) =="
        exam = Exam("python", "", f"assert answer() == {record['output']}", ("answer",))
        completion = f" {record['output']}"
        # The completion becomes the body of a function, so that it is evaluated in the program's
        # sandbox.
        before = "def answer():\n    return"
        problems.append(Problem(record["id"], Prompt(prompt), exam, completion, before))
    return Suite("cruxeval_output", "python", tuple(problems), ("\n",), _first_line)


def _first_line(before: str, completion: str) -> str:
    del before
    return completion.partition("\n")[0]
