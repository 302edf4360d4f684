"""A plan as people look at it: a row for each person, a bar for each task, reasons and risks."""

import dataclasses

from hrm_jax.planning.explaining import Reason, explain, find_risks
from hrm_jax.planning.formats.times import end_text, start_text
from hrm_jax.planning.instance import Instance, Task, tasks_by_id
from hrm_jax.planning.objectives import loads
from hrm_jax.planning.plan import Assignment, Plan

_MARKS = 6


@dataclasses.dataclass(frozen=True)
class Row:
    """A person.

    Attributes:
      person: the id.
      name: what the person is called.
      load: share of the plan's time in which the person works.
    """

    person: str
    name: str
    load: float


@dataclasses.dataclass(frozen=True)
class Bar:
    """A task.

    Attributes:
      task: the id.
      title: id and title.
      start, end: ticks.
      times: both, for people.
      people: ids of those who do it.
      due: the tick at which it should have ended; None for none.
      due_text: the same for people; empty for none.
      critical: whether any delay moves the plan's end or a due date.
      late: whether it ends after it is due.
      reason: why it is done by them and then.
      waits_for: ids of the tasks that it starts right behind.
    """

    task: str
    title: str
    start: int
    end: int
    times: str
    people: tuple[str, ...]
    due: int | None
    due_text: str
    critical: bool
    late: bool
    reason: str
    waits_for: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A whole plan.

    Attributes:
      length: ticks until all is done, and all is due.
      marks: texts at equal distances along the time, from its begin to its end.
      rows: people, in the order of the team.
      bars: tasks, in the order of the plan.
      risks: what may go wrong.
    """

    length: int
    marks: tuple[str, ...]
    rows: tuple[Row, ...]
    bars: tuple[Bar, ...]
    risks: tuple[str, ...]


def chart_of(instance: Instance, plan: Plan) -> Chart:
    """Returns the chart of a plan that the checker accepts."""
    reasons = explain(instance, plan)
    tasks = tasks_by_id(instance)
    # At least 1, as loads are shares of it.
    done = max([1, *(one.end for one in plan.assignments)])
    # Due dates behind the end are shown as well, so the chart may be longer than the plan.
    length = max([done, *(task.due for task in instance.tasks if task.due is not None)])
    held = loads(instance, plan)
    bars = [_bar(instance, tasks[one.task], one, reasons[one.task]) for one in plan.assignments]
    return Chart(
        length,
        tuple(end_text(instance, length * step // _MARKS) for step in range(_MARKS + 1)),
        tuple(Row(one.id, one.name or one.id, held[one.id] / done) for one in instance.people),
        tuple(bars),
        tuple(risk.text for risk in find_risks(instance, plan)),
    )


def _bar(instance: Instance, task: Task, one: Assignment, reason: Reason) -> Bar:
    return Bar(
        task=one.task,
        title=f"{one.task} {task.title}".strip(),
        start=one.start,
        end=one.end,
        times=f"{start_text(instance, one.start)} to {end_text(instance, one.end)}",
        people=one.people,
        due=task.due,
        due_text="" if task.due is None else end_text(instance, task.due),
        critical=reason.critical,
        late=task.due is not None and one.end > task.due,
        reason=reason.text(),
        waits_for=reason.waits_for,
    )
