"""Texts written in turns: what a contestant wrote in one, and the turns of several."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name")


@dataclasses.dataclass(frozen=True)
class Turn:
    """What a contestant wrote.

    Attributes:
      texts: all that it wrote.
      tokens: those of the texts that are counted.
      seconds: time that these took.
    """

    texts: list[str]
    tokens: int
    seconds: float


def take_turns(
    contestants: Mapping[Name, Callable[[], Turn]], rounds: int
) -> dict[Name, list[Turn]]:
    """Returns the turns of each contestant, after one that warms it up.

    Args:
      contestants: what takes a turn, by name.
      rounds: turns of each. They take one each round, so that what changes on the machine while it
        is measured meets all of them.
    """
    turns: dict[Name, list[Turn]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, take_turn in contestants.items():
            turn = take_turn()
            # The first one compiles, and reads prompts for the first time.
            if number:
                turns[name].append(turn)
    return turns


def speeds(turns: Mapping[Name, Sequence[Turn]]) -> dict[str, list[float]]:
    """Returns the tokens a second of each turn, by the contestant's name."""
    return {str(name): [turn.tokens / turn.seconds for turn in own] for name, own in turns.items()}
