"""Measures how well examples and agreement choose among samples of a suite.

The samples were judged by hidden tests (`evaluation.evaluate`). Here each is also run on the
examples that its prompt shows, and on inputs; what is chosen by these is then looked up in the
hidden verdicts.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hrm_jax.evaluation.evaluate import Judged, append_lines, read_lines
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.suites.problems import Problem, Suite
from hrm_jax.verified.agreement import behaviours, largest_group, last_function
from hrm_jax.verified.checks import CheckError, check_of_examples
from hrm_jax.verified.examples import examples_in
from hrm_jax.verified.search import judged

CHOICES = "choices.jsonl"


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is seen of a problem's samples without the hidden tests.

    Attributes:
      task_id: the problem.
      passed: of each sample, whether it passed the hidden tests.
      verified: of each, whether it passed the examples; empty where the prompt shows none.
      groups: of each, its number in `Behaviours.kinds`; -1 where there is no function to call.
    """

    task_id: str
    passed: Sequence[bool]
    verified: Sequence[bool]
    groups: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Shares of the problems, of those that a number of samples were drawn for.

    Attributes:
      samples: how many were drawn.
      first: where the first sample passes the hidden tests.
      agreed: where one of the largest group that behaves alike does.
      shown: where the first that passes the examples does; by agreement where none passes.
      shown_agreed: the same with agreement among those that pass the examples.
      possible: where any sample does.
      verified: where some sample passes the examples.
      wrong: of those, where the first one fails the hidden tests.
      wrong_agreed: of those, where the one chosen by agreement does.

    Where a problem has fewer samples, as one that passes the examples settled it, what depends on
    later ones is None: `agreed`, `shown_agreed`, `possible` and `wrong_agreed`.
    """

    samples: int
    first: float
    agreed: float | None
    shown: float
    shown_agreed: float | None
    possible: float | None
    verified: float
    wrong: float
    wrong_agreed: float | None


def look(
    suite: Suite,
    lines: Iterable[Judged],
    judge: Judge,
    file: Path,
    progress: Callable[[Seen], None] = lambda _: None,
) -> list[Seen]:
    """Returns what is seen of each problem's samples, in the suite's order.

    Args:
      suite: the problems, in Python.
      lines: samples with hidden verdicts.
      judge: of Python.
      file: where it is kept, a line for each problem; what it holds is not done again.
      progress: called with each problem's.
    """
    samples: dict[str, list[Judged]] = {}
    for line in lines:
        samples.setdefault(line.task_id, []).append(line)
    known = {seen.task_id: seen for seen in read_lines(file, Seen)}
    found = []
    for problem in suite.problems:
        mine = sorted(samples.get(problem.task_id, ()), key=lambda line: line.sample)
        if not mine:
            continue
        seen = known.get(problem.task_id)
        # What was seen of another number of samples does not count.
        if seen is None or len(seen.passed) != len(mine):
            seen = _look(suite, problem, mine, judge)
            append_lines(file, [seen])
        found.append(seen)
        progress(seen)
    return found


def settled(suite: Suite, judge: Judge) -> Callable[[Problem, Sequence[Judged]], bool]:
    """Returns a function for `evaluate`: whether a sample of a problem passes its examples.

    Later samples would not be looked at: the first that passes is shown.
    """

    def is_settled(problem: Problem, lines: Sequence[Judged]) -> bool:
        programs = _programs(suite, problem, lines)
        # A few at a time, as mostly one of the first passes.
        return any(
            any(_passing(problem, programs[begin : begin + judge.workers], judge))
            for begin in range(0, len(programs), judge.workers)
        )

    return is_settled


def can_choose(found: Iterable[Seen], samples: int) -> bool:
    """Returns whether each problem has so many samples, or fewer and one passes the examples."""
    return all(len(seen.passed) >= samples or any(seen.verified) for seen in found)


def choose(found: Sequence[Seen], samples: int) -> Chosen:
    """Returns how well is chosen among so many samples.

    Where every problem has several times as many, it is the mean over disjoint sets of them.

    Args:
      found: the problems, of which `can_choose` holds.
      samples: how many are chosen among.
    """
    # Only as many sets as all problems have: where samples were drawn until they settled a problem,
    # those that have more are those whose first ones failed.
    of_each = min(len(seen.passed) for seen in found)
    rows = [
        _row(seen, range(begin, min(begin + samples, len(seen.passed))))
        for begin in range(0, max(of_each // samples, 1) * samples, samples)
        for seen in found
    ]
    shares: dict[str, Any] = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    # Shares of the problems where some sample passes the examples, not of all.
    for name in ("wrong", "wrong_agreed"):
        shares[name] /= max(shares["verified"], 1e-9)
    if of_each < samples:
        shares |= dict.fromkeys(("agreed", "shown_agreed", "possible", "wrong_agreed"))
    return Chosen(samples, **shares)


def _row(seen: Seen, numbers: Sequence[int]) -> dict[str, bool]:
    verified = [number for number in numbers if seen.verified and seen.verified[number]]
    agreed = _agreed(seen, numbers)
    # Where nothing is verified, agreement among all chooses.
    of_verified = _agreed(seen, verified) if verified else agreed
    first = verified[0] if verified else agreed
    return {
        "first": seen.passed[numbers[0]],
        "agreed": seen.passed[agreed],
        "shown": seen.passed[first],
        "shown_agreed": seen.passed[of_verified],
        "possible": any(seen.passed[number] for number in numbers),
        "verified": bool(verified),
        "wrong": bool(verified) and not seen.passed[first],
        "wrong_agreed": bool(verified) and not seen.passed[of_verified],
    }


def _agreed(seen: Seen, numbers: Sequence[int]) -> int:
    """Returns the first number of the largest group."""
    return numbers[largest_group([seen.groups[number] for number in numbers])[0]]


def _look(suite: Suite, problem: Problem, lines: Sequence[Judged], judge: Judge) -> Seen:
    programs = _programs(suite, problem, lines)
    verified = _passing(problem, programs, judge)
    text = problem.prompt.prefix
    did = behaviours(programs, last_function(text), examples_in(text), judge)
    groups = list(did.kinds) if did else [-1] * len(programs)
    return Seen(problem.task_id, [line.passed for line in lines], verified, groups)


def _programs(suite: Suite, problem: Problem, lines: Sequence[Judged]) -> list[str]:
    return [suite.exam_of(problem, line.completion).program for line in lines]


def _passing(problem: Problem, programs: Sequence[str], judge: Judge) -> list[bool]:
    """Returns of each program whether it passes the prompt's examples; empty where it has none."""
    try:
        check = check_of_examples(examples_in(problem.prompt.prefix))
    except CheckError:  # the prompt shows no example
        return []
    # Equal programs are judged once.
    distinct = list(dict.fromkeys(programs))
    with ThreadPoolExecutor(judge.workers) as pool:
        verdicts = list(pool.map(lambda program: judged(judge, check, program), distinct))
    passing = {program for program, one in zip(distinct, verdicts, strict=True) if one.passed}
    return [program in passing for program in programs]
