"""PSPLIB files of project scheduling with renewable resources, one mode a job, `.sm`.

Each resource is a skill, `R1`, ..., and each unit of its capacity a person with it alone, `R1.1`.
"""

import re

from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.building import build
from hrm_jax.planning.instance import Instance

_SECTIONS = ("PRECEDENCE RELATIONS", "REQUESTS/DURATIONS", "RESOURCEAVAILABILITIES")
_MOST_UNITS = 10_000


def read_sm(text: str, source: str) -> Instance:
    """Returns the instance of an `.sm` file; `source` names it in errors.

    Raises:
      FormatError: a section or a number is missing, or a job has several modes.
    """
    sections = _sections(text, source)
    requests = [row for _, row in sections["REQUESTS/DURATIONS"]]
    capacities = sections["RESOURCEAVAILABILITIES"][0][1]
    # A damaged number would otherwise make people until memory is full.
    if sum(capacities) > _MOST_UNITS:
        raise FormatError(
            f"{source}: expected capacities up to {_MOST_UNITS}, got {sum(capacities)}; "
            "each unit is a person here: take another instance"
        )
    before: dict[int, list[str]] = {}
    for line, (job, modes, count, *successors) in sections["PRECEDENCE RELATIONS"]:
        # The count tells rows that were cut, and other formats whose columns mean something else.
        if modes != 1 or count != len(successors):
            raise FormatError(
                f"{source}, line {line}: expected job {job} with one mode and {count} successors, "
                f"got {modes} modes and {len(successors)}; take a single-mode file (.sm)"
            )
        for successor in successors:
            before.setdefault(successor, []).append(str(job))
    tasks = []
    for line, (job, _, duration, *demands) in sections["REQUESTS/DURATIONS"]:
        if len(demands) != len(capacities):
            raise FormatError(
                f"{source}, line {line}: expected {len(capacities)} requests, got {len(demands)}; "
                "take a single-mode file (.sm)"
            )
        needs = [
            {"skills": [f"R{index + 1}"], "count": demand}
            for index, demand in enumerate(demands)
            if demand
        ]
        after = before.get(job, [])
        tasks.append({"id": str(job), "duration": duration, "needs": needs, "after": after})
    people = [
        {"id": f"R{index + 1}.{unit + 1}", "skills": [f"R{index + 1}"]}
        for index, capacity in enumerate(capacities)
        for unit in range(capacity)
    ]
    if len(requests) != len(sections["PRECEDENCE RELATIONS"]):
        raise FormatError(f"{source}: expected as many requests as jobs; take the file anew")
    return build({"tasks": tasks, "people": people}, source)


def _sections(text: str, source: str) -> dict[str, list[tuple[int, list[int]]]]:
    """Returns the rows of numbers of each section, with their lines."""
    found: dict[str, list[tuple[int, list[int]]]] = {}
    rows: list[tuple[int, list[int]]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        title = next((name for name in _SECTIONS if line.startswith(name)), None)
        if title:
            rows = found.setdefault(title, [])
        elif line.startswith("****"):
            rows = None
        # Lines of names and dashes stand between a title and its numbers.
        elif rows is not None and re.fullmatch(r"[\s\d]*\d[\s\d]*", line):
            rows.append((number, [int(token) for token in line.split()]))
    least = {"PRECEDENCE RELATIONS": 3, "REQUESTS/DURATIONS": 3, "RESOURCEAVAILABILITIES": 1}
    for title, count in least.items():
        rows = found.get(title)
        short = [number for number, row in rows or [] if len(row) < count]
        if not rows or short:
            place = f"{source}, line {short[0]}" if short else source
            raise FormatError(f"{place}: expected numbers under {title}; take a whole .sm file")
    return found
