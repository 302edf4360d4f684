"""The planners, by the names of `--planner`."""

import dataclasses
import pathlib

from hrm_jax.core.config import check, configclass, field
from hrm_jax.planning.dispatching import Dispatch, Restarts
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.plan import Planner

PLANNERS = ("dispatch", "restarts", "exact", "hrm", "hrm+exact")
ABLATIONS = ("none", "no_search", "random")


@configclass
class PlannerOptions:
    """What planners have besides the objective.

    Attributes:
      checkpoint: the model of `hrm`; the one that comes with the package if empty.
      ablation: what `hrm` does without: `no_search`: the model sees the first plan alone, and all
        plans are drawn from what it says; `random`: chance proposes in its place.
    """

    workers: int = field(8, help="threads of the exact planner", at_least=1)
    checkpoint: str = ""
    ablation: str = field("none", one_of=ABLATIONS)


def make_planner(name: str, weights: Weights, options: PlannerOptions) -> Planner:
    """Returns a planner by its name.

    Raises:
      ConfigError: no planner has the name.
      UserError: the checkpoint cannot be read.
    """
    check(name in PLANNERS, "planner", expected=f"one of {PLANNERS}", got=name, remedy="name one")
    if name == "dispatch":
        return Dispatch(weights=weights)
    if name == "restarts":
        return Restarts(weights=weights)
    if name == "hrm":
        return _make_hrm(weights, options)
    # OR-Tools comes with an extra, which the others do without.
    from hrm_jax.planning.exact import Exact

    beside = Restarts(weights=weights) if name == "exact" else _make_hrm(weights, options)
    return Exact(weights=weights, workers=options.workers, beside=beside, name=name)


def _make_hrm(weights: Weights, options: PlannerOptions):
    from experiments.common import process

    process.keep_compiled()
    # JAX takes a second to load, which the others do without.
    from experiments.assignments import trained
    from hrm_jax.planning.guiding import Mix
    from hrm_jax.planning.hrm import Hrm, RandomProposer

    checkpoint = pathlib.Path(options.checkpoint) if options.checkpoint else trained.shipped()
    planner = Hrm(trained.load(checkpoint), weights)
    if options.ablation == "no_search":
        return dataclasses.replace(
            planner, mix=Mix(whole=1.0, moved=0.0, fresh=0.0), asks_again=False
        )
    if options.ablation == "random":
        return dataclasses.replace(planner, proposer=RandomProposer())
    return planner
