"""Plans, and what all planners share."""

from typing import Protocol

from hrm_jax.core.config import check, configclass, field
from hrm_jax.planning.instance import Instance


@configclass
class Assignment:
    """Who does a task, and when: from the tick `start` until before the tick `end`."""

    task: str
    start: int = field(at_least=0)
    end: int = field(at_least=0)
    people: tuple[str, ...] = ()


@configclass
class Plan:
    """Assignments, in the order of the instance's tasks.

    Attributes:
      planner: who made it.
      instance: the digest of the instance that it was made for.
      bound: no plan costs less, by the objective it was made for; None where nothing is known.
      proven: whether no plan costs less than this one.
    """

    assignments: tuple[Assignment, ...]
    planner: str = ""
    instance: str = ""
    bound: float | None = None
    proven: bool = False

    def by_task(self) -> dict[str, Assignment]:
        """Returns the assignments by the ids of their tasks."""
        return {assignment.task: assignment for assignment in self.assignments}


@configclass
class Budget:
    """How long a planner may look for a better plan; it ends at whichever comes first.

    With `iterations` and no time limit, the same seed gives the same plan everywhere.
    """

    seconds: float | None = field(None, help="time to plan in", more_than=0)
    iterations: int | None = field(None, help="plans to try", at_least=1)

    def __post_init__(self):
        check(
            self.seconds is not None or self.iterations is not None,
            "seconds",
            expected="a limit of time or of iterations",
            got=None,
            remedy="set one of them",
        )


class Planner(Protocol):
    """Makes plans that the checker accepts."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def plan(
        self, instance: Instance, budget: Budget, seed: int = 0, last: Plan | None = None
    ) -> Plan:
        """Returns the best plan found within the budget.

        Args:
          instance: the problem.
          budget: when to stop.
          seed: of all randomness.
          last: the plan before, from which changes are counted, and where the search starts.

        Raises:
          NoPlanError: none was found.
        """
        ...


def prepare(planner: object, instance: Instance) -> None:
    """Compiles what a planner needs for an instance, so that its time begins with planning."""
    # Only planners with a model have something to compile for an instance.
    compiles = getattr(planner, "prepare", None)
    if compiles is not None:
        compiles(instance)
