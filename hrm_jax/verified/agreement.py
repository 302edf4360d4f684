"""Chooses among candidates without tests: the largest group that behaves alike on many inputs.

Programs that are wrong are mostly wrong in different ways, so what many candidates agree on is more
likely to be right (self-consistency). It is no verification, and is not called one.
"""

import ast
import dataclasses
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from hrm_jax.data.text.well_formed import parses
from hrm_jax.evaluation.judge import examination
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.sandbox import processes
from hrm_jax.verified.examples import Example
from hrm_jax.verified.inputs import inputs_of

INPUTS = 24
"""Number of inputs on which candidates are compared."""


@dataclasses.dataclass(frozen=True)
class Behaviours:
    """What programs did on inputs.

    Attributes:
      function: name of the function that was called.
      inputs: number of inputs.
      kinds: of each program, in their order: a number that is equal where programs behave alike,
        -1 for those that gave no answer to any input.
    """

    function: str
    inputs: int
    kinds: tuple[int, ...]


def behaviours(
    programs: Sequence[str], name: str | None, examples: Sequence[Example], judge: Judge
) -> Behaviours | None:
    """Returns what programs do; None where there is no function to call.

    Args:
      programs: of the candidates.
      name: of their function; the last that most of them define if None.
      examples: whose inputs count first.
      judge: of Python; its sandbox runs them.
    """
    found = _function(programs, name)
    if found is None:
        return None
    inputs = inputs_of(found, examples, INPUTS)
    # Equal programs run once.
    distinct = list(dict.fromkeys(programs))
    with ThreadPoolExecutor(judge.workers) as pool:
        told = pool.map(lambda program: _behaviour(judge, program, found.name, inputs), distinct)
        known = dict(zip(distinct, told, strict=True))
    kinds = [known[program] for program in programs]
    order = list(dict.fromkeys(kinds))
    numbers = tuple(order.index(kind) if _answers(kind) else -1 for kind in kinds)
    return Behaviours(found.name, len(inputs), numbers)


def largest_group(kinds: Sequence[int]) -> list[int]:
    """Returns the places of the most frequent kind in order; of equals that of the first place.

    Programs without an answer (-1) agree on nothing: where there are no others, the first is alone.

    Args:
      kinds: as in `Behaviours`, of one program at least.
    """
    answering = [kind for kind in kinds if kind >= 0]
    if not answering:
        return [0]
    # `max` takes the first of equals, and places are in order.
    most = max(answering, key=answering.count)
    return [place for place, kind in enumerate(kinds) if kind == most]


def last_function(text: str) -> str | None:
    """Returns the name of the last function that a text, maybe unfinished, begins to define."""
    names = [
        line.split("def ", 1)[1].partition("(")[0].strip()
        for line in text.split("\n")
        if line.startswith(("def ", "async def "))
    ]
    return names[-1] if names else None


def _answers(behaviour: Sequence[str]) -> bool:
    """Returns whether a program gave an answer to some input."""
    failing = ("raises ", "no function", "ended with")
    return any(not told.startswith(failing) for told in behaviour)


def _function(programs: Sequence[str], name: str | None) -> ast.FunctionDef | None:
    """Returns the definition of a function in the first program that has it."""
    defined = [
        [one for one in _functions(program) if name in (None, one.name)] for program in programs
    ]
    last = [functions[-1] for functions in defined if functions]
    if not last:
        return None
    # The name that most programs define last, as the first of them defines it.
    names = [one.name for one in last]
    return last[names.index(max(names, key=names.count))]


def _functions(program: str) -> Iterator[ast.FunctionDef]:
    if parses(program):
        yield from (one for one in ast.parse(program).body if isinstance(one, ast.FunctionDef))


def _behaviour(judge: Judge, program: str, function: str, inputs: Sequence[str]) -> tuple[str, ...]:
    """Returns what a program did on each input; a single text if it did not end."""
    job = examination.job_of(judge.toolchain, judge.bounds, "behave")
    request = {"program": program, "function": function, "inputs": list(inputs)}
    outcome = processes.run(judge.sandbox, job, (json.dumps(request) + "\n").encode())
    try:
        return tuple(map(str, json.loads(outcome.stdout)))
    except (ValueError, TypeError, RecursionError):
        # It was stopped, or wrote something else.
        return (f"ended with {outcome.status} {outcome.stopped}",)
