"""Tells whether a model has become worse than it was, beyond what chance explains.

Both measurements are of the same problems, so they are compared problem by problem: which pass, by
McNemar's exact test (Psychometrika 12, 1947), and how likely their solutions are, by a permutation
test of the signs of the differences (Fisher, "The Design of Experiments", 1935).
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_jax.core.config import check
from hrm_jax.core.files import JsonError, read_json, write_atomically
from hrm_jax.evaluation.likelihood import bits_per_byte

CHANCE = 0.01
"""Probability of a difference as large as the one found, below which chance does not explain it."""
LEAST_INCREASE = 0.002
"""Increase of the bits per byte, relative, that counts: rounding differs between machines."""
_FLIPS = 10_000


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a model does on a suite.

    Attributes:
      settings: what was measured, by name: model, suite, and all else that figures depend on.
      passed: whether what it wrote passed, by task id.
      nats: nats per byte of the known solutions, by task id.
    """

    settings: Mapping[str, str]
    passed: Mapping[str, bool]
    nats: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Change:
    """A figure before and now.

    Attributes:
      name: of the figure.
      before, now: its values.
      chance: probability of a change for the worse as large as this one, if nothing had changed.
      is_worse: whether the model is worse.
    """

    name: str
    before: float
    now: float
    chance: float
    is_worse: bool


def changes(before: Measured, now: Measured) -> tuple[Change, ...]:
    """Returns the change of the pass rate and of the bits per byte.

    Raises:
      ConfigError: other settings or problems were measured.
    """
    # Figures of different problems or settings say nothing about each other.
    for what, was, found in (
        ("settings", dict(before.settings), dict(now.settings)),
        ("problems", sorted(before.passed), sorted(now.passed)),
        ("solutions", sorted(before.nats), sorted(now.nats)),
    ):
        check(
            was == found,
            what,
            expected=f"those of the recorded measurement, {was}",
            got=found,
            remedy="measure the same, or record anew",
        )
    return _pass_rate(before.passed, now.passed), _bits(before.nats, now.nats)


def _pass_rate(before: Mapping[str, bool], now: Mapping[str, bool]) -> Change:
    lost = sum(before[one] and not now[one] for one in before)
    gained = sum(now[one] and not before[one] for one in before)
    differing = lost + gained
    # If nothing had changed, a problem that differs would be lost or gained with equal chance.
    chance = sum(math.comb(differing, k) for k in range(lost, differing + 1)) / 2**differing
    # Without problems the rate is 0 and not an error.
    count = max(len(before), 1)
    return Change(
        "pass@1", sum(before.values()) / count, sum(now.values()) / count, chance, chance < CHANCE
    )


def _bits(before: Mapping[str, float], now: Mapping[str, float]) -> Change:
    differences = np.array([now[one] - before[one] for one in before])
    was = bits_per_byte(before)
    found = bits_per_byte(now)
    # With a fixed seed, so that the same measurements compare the same each time.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (_FLIPS, len(differences)))
    # The differences as they are count as one of the permutations.
    as_large = np.count_nonzero((signs * differences).sum(1) >= differences.sum() - 1e-12)
    chance = (1 + as_large) / (1 + _FLIPS)
    increase = found / was - 1 if was else 0.0
    is_worse = bool(chance < CHANCE and increase > LEAST_INCREASE)
    return Change("bits per byte", was, found, chance, is_worse)


def write(path: Path, measured: Measured) -> None:
    """Writes a measurement as JSON."""
    write_atomically(path, json.dumps(dataclasses.asdict(measured), indent=1) + "\n")


def read(path: Path) -> Measured:
    """Returns a measurement that `write` wrote.

    Raises:
      ConfigError: the file holds something else.
      TextError, OSError: it cannot be read.
    """
    # What is no JSON fails the check below, as any other content does.
    found: Any = None
    with contextlib.suppress(JsonError):
        found = read_json(path)
    kinds = {"settings": str, "passed": bool, "nats": (int, float)}
    check(
        isinstance(found, dict)
        and found.keys() == kinds.keys()
        and all(
            isinstance(found[name], dict)
            and all(isinstance(value, kind) for value in found[name].values())
            for name, kind in kinds.items()
        ),
        str(path),
        expected="a recorded measurement: settings, passed, nats",
        got="something else",
        remedy="record one by --record",
    )
    return Measured(**found)
