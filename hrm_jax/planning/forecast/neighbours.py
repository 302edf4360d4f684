"""Whole distributions from a forest: the past cases that end in the same leaves, weighted.

Meinshausen, Quantile Regression Forests (2006), over scikit-learn's forest.
"""

import dataclasses

import numpy as np
from sklearn.ensemble import RandomForestRegressor


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Past cases as the neighbours of new ones.

    Attributes:
      forest: fitted to the past cases.
      leaves: int64 [cases, trees], where each past case ends.
    """

    forest: RandomForestRegressor
    leaves: np.ndarray

    def weights(self, features: np.ndarray) -> np.ndarray:
        """Returns float64 [rows, cases], how much each past case counts; rows sum to 1."""
        found = np.empty((len(features), len(self.leaves)))
        for row, leaves in enumerate(self.forest.apply(_filled(features))):
            same = self.leaves == leaves
            # In each tree the cases of the same leaf share a weight of 1.
            found[row] = (same / same.sum(0)).mean(1)
        return found


def fit(
    features: np.ndarray, outcomes: np.ndarray, *, trees: int, leaf: int, seed: int
) -> Neighbours:
    """Returns neighbours by what a forest learned of outcomes.

    Args:
      features: float64 [cases, features]; NaN where not known.
      outcomes: float64 [cases], what cases of one leaf are alike in.
      trees: size of the forest.
      leaf: the least number of cases in a leaf.
      seed: of the forest.
    """
    forest = RandomForestRegressor(
        trees, min_samples_leaf=leaf, max_features=1 / 3, random_state=seed
    )
    forest.fit(_filled(features), outcomes)
    return Neighbours(forest, forest.apply(_filled(features)))


def _filled(features: np.ndarray) -> np.ndarray:
    # All features are 0 or more, so a split can tell what is not known from everything else.
    return np.where(np.isnan(features), -1.0, features)
