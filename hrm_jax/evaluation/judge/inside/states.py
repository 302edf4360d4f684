"""What is known of a value of the program where the tests are."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

_ONE_BY_ONE = 64
_MOST_AT_ONCE = 4096
"""Items of an iterator: the first are asked for one by one, so that none is taken in advance; later
ones in growing numbers, as a question takes a while."""


class Asker(Protocol):
    """A channel to the candidate."""

    @property
    def changes(self) -> int:
        """Number of requests that may have changed something there."""
        ...

    def ask(self, do: str, *items: Any) -> Any:
        """Returns the candidate's answer to a request; see `candidate.Candidate`."""
        ...


class Items:
    """Goes through what an iterator of the program gives, as often as is wanted.

    Args:
      take: takes this many items, fewer at the end; each is taken once.
    """

    def __init__(self, take: Callable[[int], list[Any]]):
        self._take = take
        self._taken: list[Any] = []
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        count = 0
        while True:
            # Several may go through it in turns, each from a place of its own.
            while count < len(self._taken):
                yield self._taken[count]
                count += 1
            if self._ended:
                return
            wanted = 1 if count < _ONE_BY_ONE else min(count, _MOST_AT_ONCE)
            items = self._take(wanted)
            self._taken += items
            # Fewer than are asked for come only at the end.
            self._ended = len(items) < wanted


class State:
    """What is known of a value of the program.

    Attributes:
      channel: to the candidate.
      number: of the value there.
      plain: its plain part, `NO_PLAIN_PART` if it has none.
      seen: `changes` of the channel when `plain` came.
      items: the items it gave when it was last gone through, None if they are not kept.
      items_seen: `changes` of the channel when that began.
      maker: whether it is a class that the reference has too, so that what it makes is trusted.
      returned: whether it came as an answer again, after the one that it came with first.
      trusted: whether it is an object that tests made and nothing returned since.
    """

    __slots__ = (
        *("channel", "number", "plain", "seen", "items", "items_seen"),
        *("maker", "returned", "trusted"),
    )

    def __init__(self, channel: Asker, number: int, plain: Any):
        self.channel = channel
        self.number = number
        self.plain = plain
        self.seen = channel.changes
        self.items: Items | None = None
        self.items_seen = channel.changes
        self.maker = False
        self.returned = False
        self.trusted = False

    def return_again(self) -> None:
        """Notes that it came as an answer again."""
        self.returned = True
        self.trusted = False
