"""A tree of assumptions: a cell that the model doubts takes each of its values in turn.

    puzzle, narrowed by the rules
    |- cell = likeliest value         each node is shown to the model, narrowed, for one attempt
    |- cell = second likeliest value  whose probabilities say which cell the node branches at
    `- ...                            and how likely each node below it is

The likeliest node comes first: that whose assumptions have the largest product of probabilities. So
a model that is right about a value is followed, and one that is wrong costs as many nodes as it was
sure. All values of a cell have their node, so a solution is never missed, only delayed.

Before a node branches, the rules try out every value of the cells that the model doubts most. A
value that leads to a contradiction is taken from the node for good; of the cells that are left, the
one is chosen whose values can be expected to leave least open. A puzzle's nodes come one after
another, so an answer depends on its own puzzle alone.
"""

import dataclasses
import heapq
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

_LEAST = 1e-6
"""Of the probability of a value that is allowed: a model may believe in none of them."""


class Narrow(Protocol):
    """The rules of a task, as far as they are cheap: what they leave open of puzzles."""

    def __call__(
        self, allowed: Bool[np.ndarray, "n T V"]
    ) -> tuple[Bool[np.ndarray, "n T V"], Bool[np.ndarray, " n"]]:
        """Returns the tokens that each cell may still have, and which puzzles may have a solution.

        The tokens are a part of those allowed; no solution is ever excluded. What is left of a
        puzzle without a solution is not used.
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


@dataclasses.dataclass(frozen=True, order=True)
class _Node:
    """A puzzle in part: ordered by what comes first.

    Attributes:
      is_open: whether the rules leave something open; False sorts first, as one look at what they
        have solved ends the search.
      cost: minus the logarithm of the product of the assumptions' probabilities.
      number: of the node, in the order in which they were added.
      allowed: the tokens that each cell may have.
    """

    is_open: bool
    cost: float
    number: int
    allowed: Bool[np.ndarray, "T V"] = dataclasses.field(compare=False)


class Tree:
    """The nodes of one puzzle that wait for an attempt."""

    def __init__(self, tokens: Int[np.ndarray, " T"], branching: Branching, probes: int = 1):
        """Narrows the puzzle, which is the first node.

        Args:
          tokens: the puzzle.
          branching: the rules.
          probes: cells whose values the rules try out before a node branches; at least 1.
        """
        self._tokens = tokens
        self._narrow = branching.narrow
        self._probes = probes
        self._waiting: list[_Node] = []
        self._added = 0
        self._node: _Node | None = None
        self._add(self._narrowed(branching.openings(tokens)), 0.0)

    @property
    def exhausted(self) -> bool:
        """Whether no node waits."""
        return not self._waiting

    def take(self) -> Int[np.ndarray, " T"]:
        """Returns the puzzle of the next node: cells with one value are given.

        Raises:
          IndexError: no node waits.
        """
        self._node = heapq.heappop(self._waiting)
        allowed = self._node.allowed
        shown = np.where(_decided(allowed), allowed.argmax(-1), self._tokens)
        return shown.astype(self._tokens.dtype)

    @property
    def decided(self) -> bool:
        """Whether the node that was taken last leaves nothing open: the rules have solved it."""
        return self._node is not None and not self._node.is_open

    def branch(self, probabilities: Float[np.ndarray, "T V"]) -> None:
        """Adds the nodes below the one that was taken last, in which its attempt has failed.

        Args:
          probabilities: what the attempt believed.
        """
        if self._node is None or not self._node.is_open:
            return
        allowed = self._node.allowed
        cost = self._node.cost
        while not _decided(allowed).all():
            beliefs = _beliefs(allowed, probabilities)
            cells, tokens = _assumptions(allowed, beliefs, self._probes)
            below, possible = self._narrow(_with(allowed, cells, tokens))
            if possible.all():
                self._add_below(cost, cells, beliefs[cells, tokens], below)
                return
            # What is impossible here is so in all that is below: the node itself becomes smaller.
            smaller = allowed.copy()
            smaller[cells[~possible], tokens[~possible]] = False
            left = self._narrowed(smaller)
            # Rules that are cheap need not notice that a cell has nothing left.
            if left is None or not left.any(-1).all():
                return
            allowed = left
        self._add(allowed, cost)

    def _add_below(
        self,
        cost: float,
        cells: Int[np.ndarray, " n"],
        beliefs: Float[np.ndarray, " n"],
        below: Bool[np.ndarray, "n T V"],
    ) -> None:
        """Adds the nodes of the cell whose values leave least open, the likeliest first."""
        # In bits, weighted by how likely each value is.
        left_open = np.log2(below.sum(-1)).sum(-1)
        expected = np.bincount(cells, beliefs * left_open, minlength=len(self._tokens))
        tried = np.unique(cells)
        # Of equal cells the first: results repeat.
        chosen = np.flatnonzero(cells == tried[expected[tried].argmin()])
        for row in chosen[np.argsort(-beliefs[chosen], kind="stable")]:
            self._add(below[row], cost - float(np.log(beliefs[row])))

    def _narrowed(self, allowed: Bool[np.ndarray, "T V"]) -> Bool[np.ndarray, "T V"] | None:
        """Returns what the rules leave of a single puzzle, None at a contradiction."""
        left, possible = self._narrow(allowed[None])
        return left[0] if possible[0] else None

    def _add(self, allowed: Bool[np.ndarray, "T V"] | None, cost: float) -> None:
        if allowed is not None:
            is_open = not _decided(allowed).all()
            heapq.heappush(self._waiting, _Node(is_open, cost, self._added, allowed))
            self._added += 1


def _beliefs(
    allowed: Bool[np.ndarray, "T V"], probabilities: Float[np.ndarray, "T V"]
) -> Float[np.ndarray, "T V"]:
    """Returns probabilities of the tokens that are allowed, which sum to 1 in every cell."""
    weights = np.where(allowed, probabilities.astype(np.float64) + _LEAST, 0.0)
    return weights / weights.sum(-1, keepdims=True)


def _assumptions(
    allowed: Bool[np.ndarray, "T V"], beliefs: Float[np.ndarray, "T V"], probes: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Returns cells and tokens to try out: all tokens of the cells to probe.

    Those come first that have fewest tokens, and of these the one whose second likeliest is the
    likeliest.
    """
    counts = allowed.sum(-1)
    second = np.partition(beliefs, -2, axis=-1)[:, -2]
    # Probabilities are below 1, so a cell with fewer tokens comes first whatever is believed.
    order = np.argsort(np.where(counts > 1, counts - second, np.inf), kind="stable")
    probed = order[: min(probes, int((counts > 1).sum()))]
    rows, tokens = np.nonzero(allowed[probed])
    return probed[rows], tokens


def _decided(allowed: Bool[np.ndarray, "T V"]) -> Bool[np.ndarray, " T"]:
    return allowed.sum(-1) == 1


def _with(
    allowed: Bool[np.ndarray, "T V"], cells: Int[np.ndarray, " n"], tokens: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, "n T V"]:
    """Returns the node once for each assumption, which it is given."""
    changed = np.repeat(allowed[None], len(cells), axis=0)
    rows = np.arange(len(cells))
    changed[rows, cells] = False
    changed[rows, cells, tokens] = True
    return changed
