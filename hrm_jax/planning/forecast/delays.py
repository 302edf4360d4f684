"""Whether issues with a due date will be late, and by how much, learned from earlier ones.

A folder holds `<project>_due.csv.gz`, features when the due date was set, and
`<project>_creation.csv.gz`, the same when the issue was made. By the files themselves:

* `delaydays` is the outcome: days between due date and end, 0 where it was in time.
* `ProgressTime` counts days from `openeddate` to the moment, `RemainingDay` from then to the due
  date.
* `discussion` (days until work began), `repetition` (times it was opened again), `perofdelay` (how
  often who has it was late), `workload` (open issues of theirs), `no_comment` and the `_change`
  columns are 0 in `creation` and hence of the moment.
* `type`, `priority`, `no_fixversion`, `no_issuelink`, `no_blocking`, `no_blockedby`,
  `no_affectversion` and `reporterrep` are equal in both files for every issue: they were recorded
  once, and may hold what came after the moment. `STRICT` leaves out the counts and the reputation.
* The due date is the same in both files though in 34 to 57 % of issues it was set after they were
  made: days to it in `creation` are of the future. So what is forecast is mainly `due`.
* `RemainingDay` is 1 in most of the late issues of some projects: due dates that lay before the
  issue was made seem to be written so. `foreseeable` is without those.
* The topics were found in the texts of all issues, later ones with them. They are left out.

Time order is by the moment, `openeddate` plus `ProgressTime`. Whether an issue is late is known
from the due date on, by how much only when it has ended, that many days later. Each is learned from
issues of which it was known.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from hrm_jax.planning.forecast import neighbours
from hrm_jax.planning.forecast.conformal import InOrder, intervals_in_order
from hrm_jax.planning.forecast.distributions import Distributions
from hrm_jax.planning.forecast.tables import Table, plain_or_packed, projects_with, read_table

Moment = Literal["creation", "due"]

STRICT = (
    "discussion",
    "repetition",
    "perofdelay",
    "workload",
    "no_comment",
    "no_priority_change",
    "no_fixversion_change",
    "no_des_change",
    "ProgressTime",
    "RemainingDay",
)
RECORDED_ONCE = (
    "no_fixversion",
    "no_issuelink",
    "no_blocking",
    "no_blockedby",
    "no_affectversion",
    "reporterrep",
)
_KINDS = ("type", "priority")
_LEAST_SEEN = 20
_RATE = 0.02
_NONE_SAID: dict[str, Any] = {"zero_division": 0}
"""A forecast that calls nothing late has a precision of 0."""
_MOST_LEARNED = 4000
"""The newest issues that intervals are learned from: older ones add time and little else."""


@dataclasses.dataclass(frozen=True)
class Delays:
    """Issues with due dates of a project, in order of the moment.

    Attributes:
      features: float64 [issues, features].
      moment: int64 [issues], the day of the moment, counted from 1970.
      due: int64 [issues], the day that it is due.
      late: float64 [issues], days late, 0 for in time: the outcome.
    """

    features: np.ndarray
    moment: np.ndarray
    due: np.ndarray
    late: np.ndarray

    def __len__(self) -> int:
        return len(self.late)

    @property
    def ended(self) -> np.ndarray:
        """Returns the day from which on it is known how late each was, float64 [issues]."""
        return self.due + self.late

    def take(self, rows: np.ndarray) -> "Delays":
        """Returns some of the issues."""
        return Delays(self.features[rows], self.moment[rows], self.due[rows], self.late[rows])


@dataclasses.dataclass(frozen=True)
class DelaysReport:
    """How well lateness was forecast; measures of the class `late`.

    Attributes:
      learned: issues of which it was known at the first forecast whether they were late.
      issues: how many were forecast: the last fifth.
      late: share of those that were late.
      majority: F measure of always saying what most past issues were.
      always: F measure of always saying late.
      logistic: F measure of logistic regression.
      boosting: F measure of gradient boosting.
      precision: of gradient boosting.
      recall: of gradient boosting.
      area: under its ROC curve.
      coverage: share of days late that were inside the 85 % intervals.
      width: mean width of those, days.
      usual_coverage: share inside the quantiles of past issues that had ended.
      usual_width: width of those.
    """

    learned: int
    issues: int
    late: float
    majority: float
    always: float
    logistic: float
    boosting: float
    precision: float
    recall: float
    area: float
    coverage: float
    width: float
    usual_coverage: float
    usual_width: float


def projects(folder: Path) -> list[str]:
    """Returns the names of the projects in a folder; raises TableError where there are none."""
    return projects_with(folder, "_due")


def read_delays(
    folder: Path, project: str, moment: Moment, *, strict: bool = True, foreseeable: bool = False
) -> Delays:
    """Returns the issues of a project in time order.

    Args:
      folder: the folder of all projects.
      project: its name.
      moment: when features are of.
      strict: leave out columns that were recorded once.
      foreseeable: leave out issues with a day or less to the due date.

    Raises:
      TableError, TextError, OSError: as `read_table`.
    """
    names = STRICT if strict else STRICT + RECORDED_ONCE
    path = plain_or_packed(folder, f"{project}_{moment}")
    table = read_table(path, ("openeddate", "delaydays", *_KINDS, *STRICT, *RECORDED_ONCE))
    columns = [table.numbers(name) for name in names]
    for name in _KINDS:
        texts = np.array(table.texts(name))
        values, counts = np.unique(texts, return_counts=True)
        # Rare kinds have no column: each would stand for a few issues.
        columns += [(texts == value).astype(float) for value in values[counts >= _LEAST_SEEN]]
    remaining = table.numbers("RemainingDay")
    # Both moments lie so many days behind the day on which the issue was opened.
    day = _days(table) + table.numbers("ProgressTime").astype(np.int64)
    due = day + remaining.astype(np.int64)
    issues = Delays(np.stack(columns, 1), day, due, table.numbers("delaydays", at_least=0))
    # Stable: issues of one day stay in the order of the file.
    rows = np.argsort(day, kind="stable")
    return issues.take(rows[remaining[rows] > 1] if foreseeable else rows)


def evaluate(issues: Delays, *, coverage: float = 0.85, seed: int = 0) -> DelaysReport:
    """Returns how well the last fifth is forecast from what was known when it began.

    Args:
      issues: of a project, in time order.
      coverage: wished share of intervals.
      seed: of gradient boosting.
    """
    start = int(0.8 * len(issues))
    # Issues that were due before the first forecast: whether they were late was known by then.
    past = np.flatnonzero(issues.due[:start] < issues.moment[start])
    # By how much those were late that were still open was not known.
    ended = past[issues.ended[past] < issues.moment[start]]
    new = np.arange(start, len(issues))
    late, actual = issues.late > 0, issues.late[new]
    boosted = _classifier(seed).fit(issues.features[past], late[past])
    logistic = _logistic().fit(issues.features[past], late[past])
    probability = boosted.predict_proba(issues.features[new])[:, 1]
    said = probability > 0.5
    most = bool(late[past].mean() > 0.5)
    intervals = _intervals(issues, ended, new, coverage, seed)
    # Intervals are made for the last of the past issues, too, which set their level.
    counted = slice(-len(new), None)
    tails = (1 - coverage) / 2
    usual = np.quantile(issues.late[ended], [tails, 1 - tails])

    def f_measure(forecast: np.ndarray) -> float:
        return float(f1_score(late[new], forecast, **_NONE_SAID))

    return DelaysReport(
        learned=len(past),
        issues=len(new),
        late=float(late[new].mean()),
        majority=f_measure(np.full(len(new), most)),
        always=f_measure(np.full(len(new), True)),
        logistic=f_measure(logistic.predict(issues.features[new])),
        boosting=f_measure(said),
        precision=float(precision_score(late[new], said, **_NONE_SAID)),
        recall=float(recall_score(late[new], said, **_NONE_SAID)),
        area=float(roc_auc_score(late[new], probability)),
        coverage=float(intervals.inside[counted].mean()),
        width=float(np.mean((intervals.high - intervals.low)[counted])),
        usual_coverage=float(np.mean((usual[0] <= actual) & (actual <= usual[1]))),
        usual_width=float(usual[1] - usual[0]),
    )


def _days(table: Table) -> np.ndarray:
    found = np.empty(len(table), np.int64)
    for row, text in enumerate(table.texts("openeddate")):
        try:
            found[row] = np.datetime64(text[:10], "D").astype(np.int64)
        except ValueError:
            raise table.error(row, "openeddate", "a date such as 2015-03-31", text) from None
    return found


def _classifier(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=80, learning_rate=0.06, max_leaf_nodes=12, l2_regularization=1.0, random_state=seed
    )


def _logistic():
    # Counts and days have long tails, which a linear model takes better as logarithms.
    return make_pipeline(
        FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(max_iter=1000)
    )


def _intervals(
    issues: Delays, ended: np.ndarray, new: np.ndarray, coverage: float, seed: int
) -> InOrder:
    """Returns intervals of days late for the last of those that had ended and the new.

    Distributions are learned from the first three quarters of those that had ended; their level is
    set by the last one, and by new ones as they end.
    """
    ended = ended[-_MOST_LEARNED:]
    split = int(0.75 * len(ended))
    learned, rows = ended[:split], np.concatenate([ended[split:], new])
    model = neighbours.fit(
        issues.features[learned], np.log1p(issues.late[learned]), trees=100, leaf=10, seed=seed
    )
    # Leaves are by the logarithm of days, in which the first days count most; what is lent are
    # days.
    made = Distributions(issues.late[learned], model.weights(issues.features[rows]))
    # What had ended is known when the first new forecast is made: see `evaluate`.
    before = np.full(len(ended) - split, -1)
    times = np.concatenate([before, issues.moment[new]])
    known = np.concatenate([before, issues.ended[new]])
    return intervals_in_order(
        made.families(), issues.late[rows], times, known, coverage=coverage, rate=_RATE
    )
