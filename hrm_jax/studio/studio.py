"""What all routes work with."""

from collections.abc import Mapping

from hrm_jax.studio.folders import Runs
from hrm_jax.studio.forms import Experiment, FormError
from hrm_jax.studio.jobs import Jobs
from hrm_jax.studio.live import Live
from hrm_jax.studio.protection import Pass
from hrm_jax.studio.thinking import Thinker
from hrm_jax.studio.watching import Watching


class Studio:
    """The runs, who looks at them, and what is asked of models."""

    def __init__(self, runs: Runs, experiments: Mapping[str, Experiment], needed: Pass):
        self.runs = runs
        self.experiments = experiments
        self.needed = needed
        self.watching = Watching(runs, experiments)
        self.jobs = Jobs(runs, experiments)
        self.live = Live(runs, self.watching, self.jobs)
        self.thinker = Thinker()

    def experiment(self, name: str) -> Experiment:
        """Returns an experiment; raises FormError where there is none of this name."""
        if name not in self.experiments:
            raise FormError({"": f"experiment: expected one of {', '.join(self.experiments)}"})
        return self.experiments[name]
