"""DataZinc files of the multi-skill project scheduling library (MSPSP-InstLib), `.dzn`.

Read are `dur`, `sreq` (activities x skills), `mastery` (resources x skills), `pred` and `succ`; the
rest of a file follows from them. Activities are named `1`, `2`, ..., resources `r1`, and skills
`s1`, as there.
"""

import re
from collections.abc import Sequence

from hrm_jax.core.config import to_dict
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.building import build
from hrm_jax.planning.instance import Instance, Person, Task

_ITEM = re.compile(r"(\w+)\s*=\s*([^;]*);")
_COMMENT = re.compile(r"%[^\n]*")
_NUMBER = re.compile(r"-?\d+\Z")
_TRUTH = {"true": 1, "false": 0}


def read_dzn(text: str, source: str) -> Instance:
    """Returns the instance of a `.dzn` file; `source` names it in errors.

    Raises:
      FormatError: an array is missing, has another length, or holds something else.
    """
    # Comments keep their line breaks, so that lines keep their numbers.
    bare = _COMMENT.sub("", text)
    places = {match[1]: match for match in _ITEM.finditer(bare)}

    def numbers(name: str) -> list[int]:
        if name not in places:
            raise FormatError(
                f"{source}: expected `{name} = ...;`, got {', '.join(places) or 'nothing'}; "
                "take a whole MSPSP file"
            )
        line = bare.count("\n", 0, places[name].start(2)) + 1
        return _numbers(places[name][2], f"{source}, line {line}: {name}")

    durations = numbers("dur")
    activities = len(durations)
    # Empty as it is in a file that was cut; the arrays below then do not fit.
    skills = next(iter(numbers("nSkills")), 0) if "nSkills" in places else 0
    requirements = _rows(numbers("sreq"), activities, skills, f"{source}: sreq")
    flat = numbers("mastery")
    mastery = _rows(flat, len(flat) // max(skills, 1), skills, f"{source}: mastery")
    before = numbers("pred")
    after = numbers("succ")
    if len(before) != len(after) or not all(1 <= a <= activities for a in before + after):
        raise FormatError(
            f"{source}: expected pred and succ of one length, from 1 to {activities}, "
            f"got {len(before)} and {len(after)} items; take the file anew"
        )
    tasks = [
        {
            "id": str(index + 1),
            "duration": duration,
            "needs": [
                {"skills": [f"s{skill + 1}"], "count": count}
                for skill, count in enumerate(requirements[index])
                if count
            ],
            "after": [str(a) for a, b in zip(before, after, strict=True) if b == index + 1],
        }
        for index, duration in enumerate(durations)
    ]
    people = [
        {"id": f"r{row + 1}", "skills": [f"s{skill + 1}" for skill, has in enumerate(own) if has]}
        for row, own in enumerate(mastery)
    ]
    return build({"tasks": tasks, "people": people}, source)


def write_dzn(instance: Instance) -> str:
    """Returns an instance as a `.dzn` file, with the arrays that the library's models read.

    Raises:
      FormatError: it holds what the format cannot say, such as calendars or due dates.
    """
    # By length first, so that s10 comes behind s9.
    skills = sorted(
        {skill for task in instance.tasks for need in task.needs for skill in need.skills},
        key=lambda skill: (len(skill), skill),
    )
    _refuse_more(instance)
    requirements = [
        [sum(n.count for n in task.needs if n.skills == (skill,)) for skill in skills]
        for task in instance.tasks
    ]
    mastery = [
        ["true" if skill in person.skills else "false" for skill in skills]
        for person in instance.people
    ]
    number = {task.id: index + 1 for index, task in enumerate(instance.tasks)}
    edges = [(number[other], number[task.id]) for task in instance.tasks for other in task.after]
    lines = [
        f"nActs = {len(instance.tasks)};",
        f"dur = {_array([task.duration for task in instance.tasks])};",
        f"nSkills = {len(skills)};",
        f"sreq = {_table(requirements)};",
        f"nResources = {len(instance.people)};",
        f"mastery = {_table(mastery)};",
        f"nPrecs = {len(edges)};",
        f"pred = {_array([a for a, _ in edges])};",
        f"succ = {_array([b for _, b in edges])};",
    ]
    return "\n".join(lines) + "\n"


def _refuse_more(instance: Instance) -> None:
    said = {"id", "name", "title", "duration", "needs", "after", "skills"}
    for item in (*instance.tasks, *instance.people):
        # A field at its default is no loss.
        bare = Task("x", 0) if isinstance(item, Task) else Person("x")
        defaults = to_dict(bare)
        more = [
            name
            for name, value in to_dict(item).items()
            if name not in said and value != defaults[name]
        ]
        if more:
            raise FormatError(
                f"{item.id}: expected durations, skills and dependencies only, got {more[0]}; "
                "MSPSP files hold no more; write CSV or YAML"
            )
    for task in instance.tasks:
        for need in task.needs:
            if len(need.skills) != 1:
                raise FormatError(
                    f"{task.id}: expected one skill a need, got {need}; write CSV or YAML"
                )


def _numbers(text: str, place: str) -> list[int]:
    # Arrays, sets and tables are read alike: brackets and bars say nothing that lengths do not.
    tokens = re.sub(r"[\[\]|{},]", " ", text).split()
    values = []
    for token in tokens:
        if token in _TRUTH:
            values.append(_TRUTH[token])
        elif _NUMBER.match(token):
            values.append(int(token))
        else:
            raise FormatError(
                f"{place}: expected numbers, true or false, got {token!r:.40}; take the file anew"
            )
    return values


def _rows(flat: list[int], rows: int, columns: int, place: str) -> list[list[int]]:
    if rows * columns != len(flat):
        raise FormatError(
            f"{place}: expected {columns} values for each row, got {len(flat)} in all for "
            f"{rows} rows; take the file anew"
        )
    return [flat[row * columns : (row + 1) * columns] for row in range(rows)]


def _array(values: Sequence[object]) -> str:
    return f"[{','.join(map(str, values))}]"


def _table(rows: Sequence[Sequence[object]]) -> str:
    return "[| " + ",\n\t| ".join(",".join(map(str, row)) for row in rows) + " |]"
