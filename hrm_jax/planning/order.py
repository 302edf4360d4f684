"""Orders of things that come after others."""

from collections.abc import Mapping, Sequence


def find_cycle(after: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    """Returns a cycle of dependencies, its first item again at its end, or None.

    Args:
      after: for each item, what it comes after; unknown names are ignored.
    """
    finished: set[str] = set()
    for root in after:
        path: list[str] = []
        on_path: set[str] = set()
        # Depth first with a stack of iterators: a chain may be longer than Python's recursion.
        stack = [iter((root,))]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
                if path:
                    finished.add(path[-1])
                    on_path.discard(path.pop())
            elif item in on_path:
                start = path.index(item)
                return (*path[start:], item)
            elif item in after and item not in finished:
                path.append(item)
                on_path.add(item)
                stack.append(iter(after[item]))
    return None


def in_order(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the items so that each stands behind those it comes after; there is no cycle."""
    waiting = {item: sum(other in after for other in others) for item, others in after.items()}
    later: dict[str, list[str]] = {item: [] for item in after}
    for item, others in after.items():
        for other in others:
            if other in later:
                later[other].append(item)
    ready = [item for item, count in waiting.items() if count == 0]
    # Kahn's algorithm: the list grows while it is walked, and ends up as the order.
    for item in ready:
        for other in later[item]:
            waiting[other] -= 1
            if waiting[other] == 0:
                ready.append(other)
    return ready
