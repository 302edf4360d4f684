"""Fits the distributions of drawn backlogs to published files of sprints and issues.

    python -m experiments.fit_backlogs --data=FOLDER --out=hrm_jax/planning/backlogs/fitted.json

FOLDER holds `sprints/` and `story_points/` of SEAnalytics (Choetkiertikul et al.). The package
carries what this wrote; `python -m experiments.assignments --mode=efficiency` draws from it.
"""

import json
import pathlib

from absl import flags

from experiments.common import command
from hrm_jax.core.config import to_dict
from hrm_jax.core.files import write_atomically

_DATA = flags.DEFINE_string("data", None, "folder with sprints/ and story_points/", required=True)
_OUT = flags.DEFINE_string("out", None, "file for the numbers, .json", required=True)


def main() -> int:
    """Writes the numbers; returns the exit code."""
    from hrm_jax.planning.backlogs.fitting import fit

    found = to_dict(fit(pathlib.Path(str(_DATA.value))))
    write_atomically(pathlib.Path(str(_OUT.value)), json.dumps(found, indent=1) + "\n")
    print(f"wrote {_OUT.value}")
    return 0


if __name__ == "__main__":
    command.run(main, extras="planning")
