"""Who does what, and when: `python -m experiments.assignments --backlog=FILE --team=FILE`.

Without flags, the command trains the planner `hrm` (25 minutes on two idle cores); one that is
trained comes with the package.

The plan keeps every rule (skills, one thing at a time, dependencies, calendars, what has begun), is
near the optimum or says how far from it, and tells for each assignment why. docs/assignments.md has
the files' formats and what time means. `--template=FOLDER` writes an example to begin with.

--mode=plan        plans a backlog
--mode=check       judges a plan made by hand: rules broken, its cost against ours
--mode=replan      plans again from --last, with few changes
--mode=whatif      what a person, a due date or a task more or less would change
--mode=forecast    when the plan will be done, as a distribution
--mode=eval        measures a planner on public instances
--mode=efficiency  measures a planner against first come, first served
--mode=train       trains the planner hrm (what the command does without flags); with --help, every
                   preset and every field

--split=FILE proposes tasks for user stories, and --accept=FILE plans those that you accepted.

The exact planner needs the extra `planning`.
"""

import sys

from absl import flags

from experiments.assignments import mode_flags, modes
from experiments.common import command

FLAGS = flags.FLAGS


def main() -> int:
    """Runs the mode that the flags say; returns the exit code."""
    return modes.chosen(FLAGS)(FLAGS)


if __name__ == "__main__":
    modes.define_flags(sys.argv)
    for module in (mode_flags, modes):
        flags.adopt_module_key_flags(module)
    command.run(main, extras="planning")
