"""`--mode=whatif`: the problem with one thing changed."""

import dataclasses
from collections.abc import Sequence

from hrm_jax.core.config import check
from hrm_jax.planning.formats.lists import split
from hrm_jax.planning.formats.rows import Clock, Row
from hrm_jax.planning.instance import Instance, Person, tasks_by_id
from hrm_jax.planning.plan import Plan

_ONE_MORE = "one more"


def changed(
    instance: Instance,
    *,
    with_person: str | None = None,
    without_person: str | None = None,
    due: Sequence[str] = (),
    without_task: Sequence[str] = (),
) -> Instance:
    """Returns the instance as the flags of `whatif` change it.

    Args:
      instance: as it is.
      with_person: skills of one more person.
      without_person: the id of one who is not there.
      due: other due dates, as ID:DATE or ID:@TICK.
      without_task: ids of tasks that are left out.

    Raises:
      UserError: nothing is changed, or what is to be changed is not there.
    """
    check(
        bool(with_person or without_person or due or without_task),
        "whatif",
        expected="a change",
        got=None,
        remedy="add --with_person, --without_person, --due or --without_task",
    )
    if without_person:
        instance = _without_person(instance, without_person)
    if with_person:
        one = Person(_ONE_MORE, skills=tuple(split(with_person)))
        instance = dataclasses.replace(instance, people=(*instance.people, one))
    # Tasks go before due dates come: a date for a task that is left out is refused.
    for task in without_task:
        instance = _without_task(instance, task)
    for text in due:
        instance = _with_due(instance, text)
    return instance


def late_tasks(instance: Instance, plan: Plan) -> set[str]:
    """Returns the ids of tasks that end after they are due."""
    planned = plan.by_task()
    return {t.id for t in instance.tasks if t.due is not None and planned[t.id].end > t.due}


def _without_person(instance: Instance, person: str) -> Instance:
    left = tuple(one for one in instance.people if one.id != person)
    names = [one.id for one in instance.people]
    _check_known("without_person", person, names)
    # An instance refuses names of nobody. Where a task demands the person, it stays so: to leave
    # out whom a task cannot do without is an error, not a change.
    freed = tuple(
        dataclasses.replace(task, forbidden=tuple(p for p in task.forbidden if p != person))
        for task in instance.tasks
    )
    return dataclasses.replace(instance, people=left, tasks=freed)


def _without_task(instance: Instance, task: str) -> Instance:
    """Returns the instance without a task; what comes after it comes after what it came after."""
    tasks = tasks_by_id(instance)
    _check_known("without_task", task, list(tasks))
    before = tasks[task].after

    def after(others: tuple[str, ...]) -> tuple[str, ...]:
        # The chain is closed where a link is taken out.
        kept = [o for other in others for o in (before if other == task else (other,))]
        return tuple(dict.fromkeys(kept))

    left = [dataclasses.replace(one, after=after(one.after)) for one in instance.tasks]
    return dataclasses.replace(instance, tasks=tuple(one for one in left if one.id != task))


def _with_due(instance: Instance, text: str) -> Instance:
    # An id may hold colons; a date does not.
    task, _, date = text.rpartition(":")
    check(bool(task), "due", expected="ID:DATE", got=text, remedy="write ID:2026-02-13 or ID:@40")
    _check_known("due", task, list(tasks_by_id(instance)))
    # The evening of the day: what is due on a date may be done on it.
    due = Clock(instance.days).tick(Row("--due", {"due": date}), "due", end=True)
    moved = tuple(
        dataclasses.replace(one, due=due) if one.id == task else one for one in instance.tasks
    )
    return dataclasses.replace(instance, tasks=moved)


def _check_known(flag: str, name: str, names: list[str]) -> None:
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    check(name in names, flag, expected="an id that is there", got=name, remedy=f"one of {shown}")
