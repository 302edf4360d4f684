"""pass@k: the chance that at least one of k samples is right.

References: Chen et al., "Evaluating Large Language Models Trained on Code", arXiv 2107.03374,
section 2.1 (the estimator); Efron, "Bootstrap Methods", 1979 (the interval).
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

_RESAMPLES = 10_000
_CHUNK = 1_000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A share in [0, 1] with a 95 % interval.

    Attributes:
      value: the mean over problems.
      low, high: the 2.5th and 97.5th percentile of the means of resampled problems.
    """

    value: float
    low: float
    high: float


def pass_at_k(samples: int, right: Int[np.ndarray, " B"], k: int) -> Float[np.ndarray, " B"]:
    """Returns the unbiased estimate for each problem: 1 - C(n - c, k) / C(n, k).

    Args:
      samples: n, drawn for each problem.
      right: c, how many of them are right, in [0, n].
      k: how many one may try, in [1, n].

    Raises:
      ValueError: k or a count is out of range.
    """
    right = np.asarray(right)
    if not 1 <= k <= samples:
        raise ValueError(f"k: expected 1 to {samples}, the samples of a problem, got {k}")
    outside = right[(right < 0) | (right > samples)]
    if len(outside):
        raise ValueError(f"right: expected counts from 0 to {samples}, got {outside[0]}")
    # C(n - c, k) / C(n, k) as a product of k ratios, none of which overflows.
    tries = np.arange(k)
    # With fewer than k wrong samples one factor is 0 and later ones are negative: the product is
    # then 0.
    ratios = (samples - right[:, None] - tries) / (samples - tries)[None, :]
    return 1.0 - np.prod(np.maximum(ratios, 0.0), axis=1)


def estimate(samples: int, right: Int[np.ndarray, " B"], k: int, seed: int = 0) -> Estimate:
    """Returns the mean of `pass_at_k` over problems, with its bootstrap interval.

    Args:
      samples, right, k: see `pass_at_k`; at least one problem.
      seed: of the resampling.

    Raises:
      ValueError: as `pass_at_k`, or there is no problem.
    """
    values = pass_at_k(samples, right, k)
    if not len(values):
        raise ValueError("right: expected the counts of at least one problem, got none")
    draw = np.random.default_rng(seed)
    # In chunks: all resamples at once would take 10,000 times the number of problems.
    shape = (_CHUNK, len(values))
    means = [
        values[draw.integers(0, len(values), shape)].mean(axis=1)
        for _ in range(_RESAMPLES // _CHUNK)
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high))
