"""The state that all routes share: runs, processes, and models that are asked."""

import asyncio
from collections.abc import Mapping

from hrm_jax.studio import forms
from hrm_jax.studio.folders import Runs
from hrm_jax.studio.forms import Experiment, FormError
from hrm_jax.studio.jobs import Jobs
from hrm_jax.studio.live import Live
from hrm_jax.studio.protection import Pass
from hrm_jax.studio.thinking import Thinker
from hrm_jax.studio.watching import Watching

_FIRST_PAGE_SECONDS = 3.0


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

    async def loaded(self) -> list[Experiment]:
        """Returns the experiments that can be started; whoever needs their classes waits here."""
        are_new = not all(one.is_loaded for one in self.experiments.values())
        found = await asyncio.to_thread(forms.load_all, self.experiments)
        if are_new:
            await self.live.look()  # pages are told now of which experiment each run is
        return found

    async def load_once_looked_at(self) -> None:
        """Loads all experiments as soon as a first page has had the time to draw its curves.

        Importing JAX holds the interpreter for seconds, so it would keep that page waiting.
        """
        await self.live.looked_at.wait()
        await asyncio.sleep(_FIRST_PAGE_SECONDS)
        await self.loaded()
