"""A tree of assumptions: a cell that the model doubts takes each of its two likeliest values.

    puzzle, narrowed by the rules
    |- cell = likeliest value         each node is shown to the model, narrowed, for one attempt
    |- cell = second likeliest value  whose probabilities say which cell the node branches at
    `- cell = any other value         waits until nothing else is left

The rules alone exclude: a value that leads to a contradiction is taken from its node for good, and
the node branches at another cell. Nodes are tried in order of their depth, a puzzle's one after
another, so an answer depends on its own puzzle alone.
"""

import collections
import dataclasses
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int


class Narrow(Protocol):
    """The rules of a task, as far as they are cheap: what they leave open of a puzzle."""

    def __call__(self, allowed: Bool[np.ndarray, "T V"]) -> Bool[np.ndarray, "T V"] | None:
        """Returns the tokens that each cell may still have, a part of those allowed.

        None means that there is no solution. No solution is ever excluded.
        """
        ...


class Openings(Protocol):
    """What a task allows before any rule is applied."""

    def __call__(self, tokens: Int[np.ndarray, " T"]) -> Bool[np.ndarray, "T V"]:
        """Returns the tokens that each cell of a puzzle may have."""
        ...


@dataclasses.dataclass(frozen=True)
class Branching:
    """The rules that a tree needs of a task."""

    openings: Openings
    narrow: Narrow


class Tree:
    """The nodes of one puzzle that wait for an attempt."""

    def __init__(self, tokens: Int[np.ndarray, " T"], branching: Branching):
        """Narrows the puzzle, which is the first node."""
        self._tokens = tokens
        self._narrow = branching.narrow
        # Nodes that the rules have decided come first: one look at them ends the search.
        self._solved: collections.deque[np.ndarray] = collections.deque()
        self._waiting: collections.deque[np.ndarray] = collections.deque()
        self._others: collections.deque[np.ndarray] = collections.deque()
        self._node: np.ndarray | None = None
        self._add(self._narrow(branching.openings(tokens)), self._waiting)

    @property
    def exhausted(self) -> bool:
        """Whether no node waits."""
        return not (self._solved or self._waiting or self._others)

    def take(self) -> Int[np.ndarray, " T"]:
        """Returns the puzzle of the next node: cells with one value are given.

        Raises:
          IndexError: no node waits.
        """
        self._node = (self._solved or self._waiting or self._others).popleft()
        shown = np.where(_decided(self._node), self._node.argmax(-1), self._tokens)
        return shown.astype(self._tokens.dtype)

    @property
    def decided(self) -> bool:
        """Whether the node that was taken last leaves nothing open: the rules have solved it."""
        return self._node is not None and bool(_decided(self._node).all())

    def branch(self, probabilities: Float[np.ndarray, "T V"]) -> None:
        """Adds the nodes below the one that was taken last, in which its attempt has failed.

        Args:
          probabilities: what the attempt believed.
        """
        node = self._node
        while node is not None and not _decided(node).all():
            cell, likely = _doubted(node, probabilities)
            below = [self._narrow(_with(node, cell, token)) for token in likely]
            impossible = [likely[i] for i, child in enumerate(below) if child is None]
            if not impossible:
                for child in below:
                    self._add(child, self._waiting)
                # Other values of the cell are tried when all else is: so no solution is ever lost.
                if node[cell].sum() > len(likely):
                    self._add(self._narrow(_without(node, cell, likely)), self._others)
                return
            # What is impossible here is so in all that is below: the node itself becomes smaller.
            node = self._narrow(_without(node, cell, impossible))
        # Exclusions have decided all of it, or left nothing: None, which is not added.
        if node is not self._node:
            self._add(node, self._waiting)

    def _add(self, node: np.ndarray | None, waiting: collections.deque[np.ndarray]) -> None:
        if node is not None:
            (self._solved if _decided(node).all() else waiting).append(node)


def _doubted(
    allowed: Bool[np.ndarray, "T V"], probabilities: Float[np.ndarray, "T V"]
) -> tuple[int, list[int]]:
    """Returns the cell whose second likeliest token is the likeliest such, and its two tokens."""
    # A little for each value that is allowed, as the model may believe in none of them.
    weights = np.where(allowed, probabilities + 1e-9, 0.0)
    weights /= weights.sum(-1, keepdims=True)
    # Stable: of equal beliefs the lower value comes first, so that results repeat.
    two = np.argsort(-weights, axis=-1, kind="stable")[:, :2]
    second = np.take_along_axis(weights, two[:, 1:], -1)[:, 0]
    cell = int(np.where(_decided(allowed), -1.0, second).argmax())
    return cell, two[cell].tolist()


def _decided(allowed: Bool[np.ndarray, "T V"]) -> Bool[np.ndarray, " T"]:
    return allowed.sum(-1) == 1


def _with(allowed: np.ndarray, cell: int, token: int) -> np.ndarray:
    changed = allowed.copy()
    changed[cell] = False
    changed[cell, token] = True
    return changed


def _without(allowed: np.ndarray, cell: int, tokens: list[int]) -> np.ndarray:
    changed = allowed.copy()
    changed[cell, tokens] = False
    return changed
