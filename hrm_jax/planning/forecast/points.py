"""Story points: how well they are estimated from text, by project and in time order.

A file has the columns `issuekey`, `title`, `description` and `storypoint`, one issue a row. Issues
are ordered by the number in their key, which the tracker counts up; files are not always in that
order. A description may have been edited after points were given: the files have the last one.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV

from hrm_jax.planning.forecast import estimates, text_features
from hrm_jax.planning.forecast.estimates import EstimateConfig
from hrm_jax.planning.forecast.tables import TableError, read_table
from hrm_jax.planning.forecast.text_features import Issues

PUBLISHED = {
    "appceleratorstudio": 1.50,
    "aptanastudio": 3.25,
    "clover": 3.64,
    "datamanagement": 5.73,
    "duracloud": 0.71,
    "jirasoftware": 1.77,
    "moodle": 5.93,
    "mule": 2.60,
    "mulestudio": 3.62,
    "springxd": 1.84,
    "talenddataquality": 3.39,
    "titanium": 2.32,
}
"""Mean absolute errors of GPT2SP run again by others (CLFSPE), on a split of its own."""

_NUMBER = re.compile(r"(\d+)$")


@dataclasses.dataclass(frozen=True)
class PointsReport:
    """How well the points of one project were estimated: mean absolute errors, and intervals.

    Attributes:
      project: its name.
      issues: how many are counted: about the last fifth.
      ours: error of the forest's medians. It and all others learn anew for each block of issues.
      boosting: of gradient boosting on the same features, absolute loss.
      linear: of TF-IDF and ridge regression of the logarithm.
      mean: of the mean of all issues before.
      median: of their median.
      published: of others, on another split; NaN where there is none.
      coverage: share of outcomes inside the intervals.
      width: mean width of the intervals.
      usual_coverage: share inside the quantiles of the issues before.
      usual_width: mean width of those.
    """

    project: str
    issues: int
    ours: float
    boosting: float
    linear: float
    mean: float
    median: float
    published: float
    coverage: float
    width: float
    usual_coverage: float
    usual_width: float


def read_points(path: Path) -> tuple[Issues, np.ndarray]:
    """Returns issues in the order of their numbers, and their points.

    Raises:
      TableError, TextError, OSError: as `read_table`.
    """
    table = read_table(path, ("issuekey", "title", "description", "storypoint"))
    keys = table.texts("issuekey")
    numbers = []
    for row, key in enumerate(keys):
        found = _NUMBER.search(key)
        if found is None:
            raise table.error(row, "issuekey", "a key that ends in a number", key)
        numbers.append(int(found[0]))
    order = np.argsort(numbers, kind="stable")
    # The files have NULL for no description.
    descriptions = ["" if text == "NULL" else text for text in table.texts("description")]
    issues = Issues(keys, table.texts("title"), descriptions)
    return issues.take(order), table.numbers("storypoint", at_least=0)[order]


def project_files(folder: Path) -> dict[str, Path]:
    """Returns the files of story points in a folder, by project.

    Raises:
      TableError: there are none.
    """
    found = {path.name.split(".")[0]: path for path in sorted(folder.glob("*.csv*"))}
    if not found:
        raise TableError(f"{folder}: expected files <project>.csv.gz, got none; name their folder")
    return found


def evaluate(
    project: str, issues: Issues, points: np.ndarray, config: EstimateConfig
) -> tuple[PointsReport, estimates.PastEstimates]:
    """Returns how well points of the last fifth are estimated from what came before.

    Raises:
      TooFewIssuesError: there are too few issues.
    """
    past = estimates.estimate_past(issues, points, config)
    blocks = estimates.blocks(past.first, len(issues), config)
    # The same blocks as ours: each estimate is from what was known at its block's beginning.
    others = [_others(issues, points, rows, config) for rows in blocks[len(blocks) // 2 :]]
    boosting, linear, mean, median, low, high = np.concatenate(others, 1)
    # The first half of the estimated issues only sets the level of the intervals.
    rows = slice(-len(mean), None)
    actual = points[rows]

    def error(estimate: np.ndarray) -> float:
        return float(np.mean(np.abs(estimate - actual)))

    report = PointsReport(
        project=project,
        issues=len(actual),
        ours=error(past.point[rows]),
        boosting=error(boosting),
        linear=error(linear),
        mean=error(mean),
        median=error(median),
        published=PUBLISHED.get(project, float("nan")),
        coverage=float(past.intervals.inside[rows].mean()),
        width=float((past.intervals.high - past.intervals.low)[rows].mean()),
        usual_coverage=float(np.mean((low <= actual) & (actual <= high))),
        usual_width=float(np.mean(high - low)),
    )
    return report, past


def _others(
    issues: Issues, points: np.ndarray, rows: np.ndarray, config: EstimateConfig
) -> np.ndarray:
    """Returns float64 [6, rows]: what others say of a block, from what our forest knew of it.

    Gradient boosting, the linear model, the mean and the median of all before, and the ends of the
    quantiles of those.
    """
    before = np.arange(rows[0])
    known = issues.take(before), points[before], issues.take(rows)
    tails = (1 - config.coverage) / 2
    whole = [points[before].mean(), *np.quantile(points[before], [0.5, tails, 1 - tails])]
    # What is said of all issues of the block alike, a row each.
    constant = np.tile(np.array(whole)[:, None], len(rows))
    return np.stack([_boosted(*known, config.seed), _linear(*known), *constant])


def _boosted(past: Issues, points: np.ndarray, new: Issues, seed: int) -> np.ndarray:
    features = text_features.fit(past, seed)
    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=80,
        learning_rate=0.05,
        max_leaf_nodes=8,
        random_state=seed,
    )
    return model.fit(features(past), points).predict(features(new))


def _linear(past: Issues, points: np.ndarray, new: Issues) -> np.ndarray:
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, max_features=5000, sublinear_tf=True)
    # Fitted to the past alone: words of later issues would tell of the future.
    weighted = words.fit_transform(past.texts)
    model = RidgeCV(np.logspace(-1, 2, 7)).fit(weighted, np.log1p(points))
    # Learned as logarithms, in which a point more counts less where there are many.
    return np.expm1(model.predict(words.transform(new.texts)))
