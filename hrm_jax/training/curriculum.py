"""Training in phases: each has batches of its own, and a condition for moving on to the next.

The loop sees one iterator of batches. The phase of a run and the step at which it began are part of
the iterator's state, so a resumed run goes through the same phases at the same steps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from hrm_jax.core.config import check, configclass, field
from hrm_jax.training.batches import BatchIterator


@configclass
class Gate:
    """The condition that ends a phase: a sufficient measure on held-out data, or a number of steps.

    It is checked after every evaluation. Without a measure the number of steps alone ends the
    phase; without steps it lasts until the measure suffices or the run ends.
    """

    measure: str = field("", help="what has to be good enough, such as bits_per_byte; empty: none")
    at_least: float | None = field(None, help="good enough from here up")
    at_most: float | None = field(None, help="good enough from here down")
    steps: int = field(0, help="steps the phase may take; 0 for as many as the run has", at_least=0)
    otherwise: Literal["stop", "go_on"] = field(
        "stop", help="what the run does where the measure is not good enough after these steps"
    )

    def __post_init__(self):
        """Raises ConfigError if there is a measure without bounds, or bounds without a measure."""
        bounds = (self.at_least, self.at_most)
        check(
            bool(self.measure) == any(bound is not None for bound in bounds),
            "measure",
            expected="a measure exactly when there is a bound",
            got=(self.measure, *bounds),
            remedy="set measure and at_least or at_most, or none of them",
        )

    def opens(self, measures: Mapping[str, float]) -> bool:
        """Returns whether the measure is within its bounds; False without a measure.

        Raises:
          ValueError: if there is no such measure.
        """
        if not self.measure:
            return False
        if self.measure not in measures:
            raise ValueError(
                f"gate: expected one of {', '.join(sorted(measures))}, got {self.measure!r}; name "
                "a measure that evaluations have"
            )
        value = measures[self.measure]
        low = float("-inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= value <= high

    def describe(self) -> str:
        """Returns the condition as text for messages."""
        low = [] if self.at_least is None else [f"at least {self.at_least:g}"]
        high = [] if self.at_most is None else [f"at most {self.at_most:g}"]
        return f"{self.measure} {' and '.join(low + high)}"


class Curriculum:
    """The batches of a run's phases, one phase after the other.

    Attributes:
      phase: number of the current phase, from 0.
    """

    def __init__(self, gates: Sequence[Gate], batches_of: Callable[[int], BatchIterator]):
        """Takes a gate for each phase, and `batches_of`, from a phase to its endless batches."""
        self._gates = tuple(gates)
        self._batches_of = batches_of
        self._begin(0, step=0)

    def _begin(self, phase: int, *, step: int) -> None:
        self.phase = phase
        self._begun = step
        self._batches = self._batches_of(phase)

    def __next__(self) -> Any:
        """Returns the next batch of the current phase."""
        return next(self._batches)

    def get_state(self) -> dict[str, Any]:
        """Returns the phase, the step after which it began, and which of its batches comes next."""
        return {"phase": self.phase, "begun": self._begun, "batches": self._batches.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from where `get_state` returned `state`."""
        # The phase's batches are made first, as the saved position is one among them.
        self._begin(state["phase"], step=state["begun"])
        self._batches.set_state(state["batches"])

    def judge(self, step: int, measures: Mapping[str, float]) -> str | None:
        """Checks the gate after an evaluation, and begins the next phase if it is satisfied.

        The last phase lasts as long as the run; its gate matters only when its steps are used up.

        Returns:
          Why the run must end, if the phase's steps are used up with its gate unsatisfied and
          `otherwise="stop"`; else None.

        Raises:
          ValueError: if the gate's measure is not among `measures`.
        """
        gate = self._gates[self.phase]
        last = self.phase == len(self._gates) - 1
        opens = gate.opens(measures)
        # Evaluations come at intervals, so a phase may take more than its steps before this is
        # seen.
        over = 0 < gate.steps <= step - self._begun
        if over and gate.measure and not opens and gate.otherwise == "stop":
            return (
                f"phase {self.phase + 1} of {len(self._gates)} expected {gate.describe()} within "
                f"{gate.steps} steps, got {measures[gate.measure]:.4g}; give it more steps or "
                "another bound, or let it go_on"
            )
        # A gate without a measure never opens; the number of steps alone ends its phase.
        if (opens or over) and not last:
            self._begin(self.phase + 1, step=step)
        return None
