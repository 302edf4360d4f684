"""Whether a run's loss seems to diverge, told value by value while the run goes on.

`trouble` in `page/curves.js` judges a curve that is drawn by the same rule.
"""

import math
import re
from collections.abc import Sequence

_SMOOTHING = 0.9
_FEWEST = 40
"""Values before which a loss is not called rising."""
_SHARE = 0.35
"""Of its fall so far, and by what it has to rise again."""
_FACTOR = 1.15
_NOISES = 3.0
_LOSS = re.compile(r"(?!.*\b(?:val|test|eval))(?:.*/)?loss$")
"""A held-out loss rises where a model overfits, which is another matter."""


def is_loss(name: str) -> bool:
    """Returns whether a curve is a loss of training, by its name."""
    return _LOSS.match(name) is not None


class LossWatch:
    """One loss.

    Attributes:
      step: of the last value.
      count: number of values.
    """

    def __init__(self):
        self.step = -math.inf
        self.count = 0
        self._value = _Average()
        self._noise = _Average()
        self._first = self._lowest = math.inf
        self._noise_at_lowest = 0.0
        self._is_number = True

    def add(self, step: float, value: float) -> None:
        """Adds a value."""
        self.step = step
        self.count += 1
        self._is_number = self._is_number and math.isfinite(value)
        if not self._is_number:
            return
        even = self._value.add(value)
        noise = self._noise.add(abs(value - even))
        if self.count == 1:
            self._first = even
        if even < self._lowest:
            self._lowest = even
            # By now: what comes after may be the divergence itself.
            self._noise_at_lowest = noise

    @property
    def trouble(self) -> str:
        """What is wrong with it, as the end of a sentence; empty where nothing is."""
        if not self._is_number:
            return "has values that are no numbers"
        if self.count < _FEWEST:
            return ""
        rise = self._value.now - self._lowest
        least = max(_SHARE * (self._first - self._lowest), _NOISES * self._noise_at_lowest)
        return "is rising" if rise > least and self._value.now > _FACTOR * self._lowest else ""


class Losses:
    """The losses of one run, by the names of their curves."""

    def __init__(self):
        self._watches: dict[str, LossWatch] = {}

    def count(self, name: str) -> int:
        """Returns how many values of a curve are known."""
        return self._watches[name].count if name in self._watches else 0

    def add(self, name: str, steps: Sequence[float], values: Sequence[float]) -> None:
        """Adds what is new of a curve, if that is a loss of training.

        Args:
          name: of the curve.
          steps: in their order; those that are known are passed over. Where the last one comes
            before what is known, the run was taken up at an earlier step, and all are new.
          values: one for each step.
        """
        if not steps or not is_loss(name):
            return
        if name not in self._watches or steps[-1] < self._watches[name].step:
            self._watches[name] = LossWatch()
        watch = self._watches[name]
        for step, value in zip(steps, values, strict=True):
            if step > watch.step:
                watch.add(step, value)

    @property
    def trouble(self) -> str:
        """What is wrong with the first loss that something is wrong with; empty for none."""
        found = (
            f"{name} {watch.trouble}" for name, watch in self._watches.items() if watch.trouble
        )
        return next(found, "")


class _Average:
    """An exponential average that begins at its first value."""

    def __init__(self):
        self._sum = 0.0
        self._total = 0.0

    def add(self, value: float) -> float:
        """Adds a value, and returns the average."""
        self._sum = _SMOOTHING * self._sum + (1 - _SMOOTHING) * value
        self._total = _SMOOTHING * self._total + (1 - _SMOOTHING)
        return self.now

    @property
    def now(self) -> float:
        """The average."""
        return self._sum / self._total
