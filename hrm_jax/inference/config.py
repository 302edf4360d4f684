"""When a puzzle leaves the engine, and the budget for those that stay unsolved."""

import itertools

from hrm_jax.core.config import check, configclass, field


@configclass
class EngineConfig:
    """How puzzles stream through a fixed batch, and when one leaves it.

    A puzzle leaves at its first step, from `min_steps` on, at which one of the enabled rules
    applies, and after `max_steps` in any case. With no rule enabled every puzzle takes `max_steps`,
    as in the evaluation of the originals.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    batch_size: int = field(256, help="slots: puzzles thought about at once", at_least=1)
    tail_batch_sizes: tuple[int, ...] = field(
        (64, 16),
        help="smaller batches for the last puzzles, decreasing; each is compiled once",
        at_least=1,
    )
    min_steps: int = field(1, help="steps before which no puzzle leaves", at_least=1)
    max_steps: int = field(
        16, help="steps after which it leaves; may exceed those of training", at_least=1
    )
    stop_when_valid: bool = field(True, help="leave when the proposal passes the task's rules")
    halt_confidence: float = field(
        1.0,
        help="leave when the halting head's probability is above this; 1: never",
        at_least=0,
        at_most=1,
        remedy="1 turns it off",
    )
    stable_steps: int = field(
        0, help="leave when so many steps changed nothing in the proposal; 0: never", at_least=0
    )
    steps_per_dispatch: int = field(
        8, help="steps of a compiled program before the host looks", at_least=1
    )

    def __post_init__(self):
        """Raises ConfigError where the fields do not fit together."""
        check(
            self.min_steps <= self.max_steps,
            "min_steps",
            expected=f"at most max_steps={self.max_steps}",
            got=self.min_steps,
            remedy="lower it, or raise max_steps",
        )
        check(
            # The engine goes over to the next smaller batch when the puzzles left fit into it.
            all(larger > smaller for larger, smaller in itertools.pairwise(self.batch_sizes)),
            "tail_batch_sizes",
            expected=f"decreasing sizes below batch_size={self.batch_size}",
            got=self.tail_batch_sizes,
            remedy="drop those that are too large; () keeps the last puzzles in the large batch",
        )

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """All batch sizes that are compiled, decreasing."""
        return (self.batch_size, *self.tail_batch_sizes)


@configclass
class SearchConfig:
    """The budget for a puzzle that the first attempt left unsolved.

    Attempt a uses assumption a, symmetry a and initial state a, whatever the order of the puzzles
    and the other puzzles are, so an answer depends on its own puzzle alone.

    Raises:
      ConfigError: on construction, for numbers out of range or attempts that would all be alike.
    """

    attempts: int = field(0, help="attempts at a puzzle after the first; 0: no search", at_least=0)
    steps: int = field(
        0, help="steps a puzzle may take in all attempts together; 0: no limit", at_least=0
    )
    max_steps: int = field(
        0, help="steps of a further attempt; 0: as many as of the first", at_least=0
    )
    assume: bool = field(
        False,
        help="give each attempt one more cell, a different one, as the first attempt proposed it",
    )
    branch: bool = field(
        False,
        help="make a tree instead: a doubted cell takes each of its values, the likeliest first, "
        "and the rules exclude what cannot be",
    )
    probes: int = field(
        64,
        help="cells of a tree's node whose values the rules try out before it branches at one",
        at_least=1,
    )
    symmetries: bool = field(True, help="show each attempt the puzzle under another symmetry")
    noise: float = field(
        0.0,
        help="deviation of the noise added to each attempt's initial state, whose size is 1",
        at_least=0,
    )
    seed: int = field(0, help="of assumptions, symmetries and noise", at_least=0, at_most=2**32 - 1)

    def __post_init__(self):
        """Raises ConfigError where the fields do not fit together."""
        # An attempt takes a step at least.
        shortest = self.max_steps or 1
        check(
            not self.steps or self.steps > shortest,
            "steps",
            expected=f"0, or more than max_steps={self.max_steps} of a further attempt",
            got=self.steps,
            remedy="raise steps, or lower max_steps",
        )
        check(
            not self.attempts or self.branch or self.assume or self.symmetries or self.noise > 0,
            "attempts",
            expected="0 where attempts differ neither by assumption, by symmetry nor by noise",
            got=self.attempts,
            remedy="set assume, branch or symmetries, or noise above 0",
        )
        check(
            # Branches exclude values in the puzzle as it stands, so every attempt has to see it
            # that way.
            not (self.branch and (self.assume or self.symmetries)),
            "branch",
            expected="False with assume or symmetries, as a tree makes assumptions of its own",
            got=self.branch,
            remedy="leave one of them out",
        )
