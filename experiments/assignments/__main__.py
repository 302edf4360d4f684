"""Who does what, and when: `python -m experiments.assignments --backlog=FILE --team=FILE`.

Without flags, the command trains the planner `hrm` (25 minutes on two idle cores); one that is
trained comes with the package.

The plan keeps every rule (skills, one thing at a time, dependencies, calendars, what has begun), is
near the optimum or says how far from it, and tells for each assignment why. docs/assignments.md has
the files' formats and what time means. `--template=FOLDER` writes an example to begin with.

--mode=plan    plans a backlog (the default)
--mode=check   judges a plan made by hand: rules broken, its cost against ours
--mode=replan  plans again from --last, with few changes
--mode=whatif  what one person more, or less, would change
--mode=eval    measures a planner on public instances
--mode=train   trains the planner hrm (what the command does without flags)

The exact planner needs the extra `planning`.
"""

from absl import flags

from experiments.assignments import modes
from experiments.common import command

FLAGS = flags.FLAGS


def main() -> int:
    """Runs the mode that the flags say; returns the exit code."""
    if FLAGS.template:
        return modes.make_template(FLAGS)
    named = FLAGS.backlog or FLAGS.team
    return modes.MODES[FLAGS.mode or ("plan" if named else "train")](FLAGS)


if __name__ == "__main__":
    modes.define_flags()
    command.run(main, extras="planning")
