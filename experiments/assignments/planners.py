"""The planners, by the names of `--planner`."""

from hrm_jax.core.config import check
from hrm_jax.planning.dispatching import Dispatch, Restarts
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.plan import Planner

PLANNERS = ("dispatch", "restarts", "exact")


def make_planner(name: str, weights: Weights, workers: int) -> Planner:
    """Returns a planner by its name; `workers` are the threads of the exact one.

    Raises:
      ConfigError: no planner has the name.
    """
    check(name in PLANNERS, "planner", expected=f"one of {PLANNERS}", got=name, remedy="name one")
    if name == "exact":
        # OR-Tools comes with an extra, which the others do without.
        from hrm_jax.planning.exact import Exact

        return Exact(weights=weights, workers=workers)
    return Dispatch(weights=weights) if name == "dispatch" else Restarts(weights=weights)
