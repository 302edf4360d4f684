"""What a plan costs.

    cost = makespan * its ticks + tardiness * sum of (priority * ticks late)
         + balance * (the most loaded person's ticks - the mean of all who could do anything)
         + changes * (people new on a task of the last plan + tasks that start at another tick)

The makespan counts from the instance's `now`. A load is the ticks that a person is held by tasks.
"""

from hrm_jax.core.config import check, configclass, field
from hrm_jax.planning.instance import Instance, tasks_by_id
from hrm_jax.planning.plan import Plan


@configclass
class Weights:
    """What a unit of each part of the cost weighs; whole numbers keep the cost exact."""

    makespan: int = field(1, help="of a tick until everything is done", at_least=0)
    tardiness: int = field(0, help="of a tick that a task is late, times its priority", at_least=0)
    balance: int = field(0, help="of a tick between the largest load and the mean", at_least=0)
    changes: int = field(0, help="of a change against the last plan", at_least=0)

    def __post_init__(self):
        total = self.makespan + self.tardiness + self.balance + self.changes
        check(
            total > 0, "makespan", expected="some weight above 0", got=0, remedy="set one of them"
        )


MAKESPAN = Weights()


@configclass
class Costs:
    """The parts of a plan's cost; `balance` is rounded down to a whole tick."""

    makespan: int
    tardiness: int
    balance: int
    changes: int

    def total(self, weights: Weights) -> int:
        """Returns the weighted sum."""
        return (
            weights.makespan * self.makespan
            + weights.tardiness * self.tardiness
            + weights.balance * self.balance
            + weights.changes * self.changes
        )


def measure(instance: Instance, plan: Plan, last: Plan | None = None) -> Costs:
    """Returns the parts of the cost of a plan that the checker accepts."""
    tasks = tasks_by_id(instance)
    ends = [assignment.end for assignment in plan.assignments]
    late = 0
    for assignment in plan.assignments:
        task = tasks[assignment.task]
        if task.due is not None:
            late += task.priority * max(assignment.end - task.due, 0)
    return Costs(
        makespan=max([0, *(end - instance.now for end in ends)]),
        tardiness=late,
        balance=_balance(instance, plan),
        changes=0 if last is None else count_changes(plan, last),
    )


def loads(instance: Instance, plan: Plan) -> dict[str, int]:
    """Returns the ticks that each person is held by tasks."""
    held = {person.id: 0 for person in instance.people}
    for assignment in plan.assignments:
        for person in assignment.people:
            held[person] += assignment.end - assignment.start
    return held


def count_changes(plan: Plan, last: Plan) -> int:
    """Returns people new on a task, plus tasks that start at another tick, of tasks in both."""
    before = last.by_task()
    changed = 0
    for assignment in plan.assignments:
        old = before.get(assignment.task)
        # A task that is new is no change of the last plan.
        if old is not None:
            changed += len(set(assignment.people) - set(old.people))
            changed += assignment.start != old.start
    return changed


def useful_people(instance: Instance) -> list[str]:
    """Returns the ids of those who could do anything of the instance."""
    needs = {need for task in instance.tasks for need in task.needs}
    return [person.id for person in instance.people if any(person.has(need) for need in needs)]


def _balance(instance: Instance, plan: Plan) -> int:
    useful = useful_people(instance)
    if not useful:
        return 0
    held = loads(instance, plan)
    total = sum(held[person] for person in useful)
    largest = max(held[person] for person in useful)
    # In whole numbers, as in the compiled search and in CP-SAT: all three give one cost.
    return (largest * len(useful) - total) // len(useful)
