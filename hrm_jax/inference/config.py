"""When a puzzle leaves the engine, and what is spent on those that stay unsolved."""

import dataclasses
import itertools

from hrm_jax.core.config import check, field


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """How puzzles stream through a fixed batch, and when one leaves it.

    After `min_steps` a puzzle leaves as soon as one of the rules says so; after `max_steps` in any
    case. With all rules off, every puzzle takes `max_steps`: the evaluation of the originals.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    batch_size: int = field(256, help="slots: puzzles thought about at once")
    tail_batch_sizes: tuple[int, ...] = field(
        (64, 16), help="smaller batches for the last puzzles, decreasing; each is compiled once"
    )
    min_steps: int = field(1, help="steps before which no puzzle leaves")
    max_steps: int = field(16, help="steps after which it leaves; may exceed those of training")
    stop_when_valid: bool = field(True, help="leave when the proposal passes the task's rules")
    halt_confidence: float = field(
        1.0, help="leave when the halting head's probability is above this; 1: never"
    )
    stable_steps: int = field(
        0, help="leave when so many steps changed nothing in the proposal; 0: never"
    )
    steps_per_dispatch: int = field(8, help="steps of a compiled program before the host looks")

    def __post_init__(self):
        """Validates the fields."""
        least = {"batch_size": 1, "min_steps": 1, "max_steps": 1, "stable_steps": 0}
        for name, lowest in (least | {"steps_per_dispatch": 1}).items():
            value = getattr(self, name)
            check(value >= lowest, name, expected=f"{lowest} or more", got=value, remedy="set more")
        check(
            self.min_steps <= self.max_steps,
            "min_steps",
            expected=f"at most max_steps={self.max_steps}",
            got=self.min_steps,
            remedy="lower it, or raise max_steps",
        )
        check(
            0 <= self.halt_confidence <= 1,
            "halt_confidence",
            expected="a probability, 0 to 1",
            got=self.halt_confidence,
            remedy="1 turns it off",
        )
        sizes = self.batch_sizes
        check(
            min(sizes) >= 1 and all(a > b for a, b in itertools.pairwise(sizes)),
            "tail_batch_sizes",
            expected=f"decreasing sizes below batch_size={self.batch_size}",
            got=self.tail_batch_sizes,
            remedy="drop those that are too large; () keeps the last puzzles in the large batch",
        )

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """All sizes that are compiled, decreasing."""
        return (self.batch_size, *self.tail_batch_sizes)


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """What is spent on a puzzle that the first attempt left unsolved.

    Attempt number a makes assumption number a, sees the puzzle under symmetry number a and starts
    from state number a, so that an answer depends neither on the order of the puzzles nor on which
    others there are.

    Raises:
      ConfigError: on construction, for numbers out of range or attempts that would all be alike.
    """

    attempts: int = field(0, help="attempts at a puzzle after the first; 0: no search")
    steps: int = field(0, help="steps a puzzle may take in all attempts together; 0: no limit")
    max_steps: int = field(0, help="steps of a further attempt; 0: as many as of the first")
    assume: bool = field(
        False,
        help="give each attempt one more cell, a different one, as the first attempt proposed it",
    )
    symmetries: bool = field(True, help="show each attempt the puzzle under another symmetry")
    noise: float = field(
        0.0, help="deviation of the noise added to each attempt's initial state, whose size is 1"
    )
    seed: int = field(0, help="of assumptions, symmetries and noise")

    def __post_init__(self):
        """Validates the fields."""
        for name in ("attempts", "steps", "max_steps", "noise"):
            value = getattr(self, name)
            check(value >= 0, name, expected="0 or more", got=value, remedy="set 0 or more")
        shortest = self.max_steps or 1
        check(
            not self.steps or self.steps > shortest,
            "steps",
            expected=f"0, or more than max_steps={self.max_steps} of a further attempt",
            got=self.steps,
            remedy="raise steps, or lower max_steps",
        )
        seed = self.seed
        check(0 <= seed < 2**32, "seed", expected="0 to 2^32 - 1", got=seed, remedy="lower it")
        check(
            not self.attempts or self.assume or self.symmetries or self.noise > 0,
            "attempts",
            expected="0 where attempts differ neither by assumption, by symmetry nor by noise",
            got=self.attempts,
            remedy="set assume or symmetries, or noise above 0",
        )
