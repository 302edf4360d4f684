"""Numbers that a model learns from, out of what an issue says and of its fields."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

_MOST_WORDS = 3000
_MOST_CHARACTERS = 2000
"""Of a description: what follows is mostly logs, which would take most of the time."""
_TOPICS = 30
_LEAST_SEEN = 5
"""Issues that must have a word, or a field's value, for it to count."""


@dataclasses.dataclass(frozen=True)
class Issues:
    """Issues in time order.

    Attributes:
      keys: how each is called.
      titles: one line each.
      descriptions: empty where there is none.
      fields: further columns of text, such as a type, by name.
    """

    keys: list[str]
    titles: list[str]
    descriptions: list[str]
    fields: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: np.ndarray) -> "Issues":
        """Returns some of the issues."""

        def taken(values: list[str]) -> list[str]:
            return [values[row] for row in rows]

        return Issues(
            taken(self.keys),
            taken(self.titles),
            taken(self.descriptions),
            {name: taken(values) for name, values in self.fields.items()},
        )

    @property
    def texts(self) -> list[str]:
        """Title and description of each."""
        pairs = zip(self.titles, self.descriptions, strict=True)
        return [f"{title}\n{description[:_MOST_CHARACTERS]}" for title, description in pairs]


@dataclasses.dataclass(frozen=True)
class TextFeatures:
    """What was learned of the words of past issues; made by `fit`.

    Attributes:
      words: weights words by how rare they are; None where past issues share none.
      topics: the directions in which texts differ most; None likewise.
      values: for each field, the values that count.
    """

    words: TfidfVectorizer | None
    topics: TruncatedSVD | None
    values: dict[str, list[str]]

    def __call__(self, issues: Issues) -> np.ndarray:
        """Returns float64 [issues, features]."""
        lengths = [[len(t), len(d), d.count("\n")] for t, d in _pairs(issues)]
        marks = [["{code" in d, "http" in d] for _, d in _pairs(issues)]
        # Lengths have long tails, which logarithms shorten.
        columns = [np.log1p(np.array(lengths, float)), np.array(marks, float)]
        if self.words is not None and self.topics is not None:
            columns.append(self.topics.transform(self.words.transform(issues.texts)))
        for name, values in self.values.items():
            found = np.array(issues.fields.get(name, [""] * len(issues)))
            columns += [(found == value).astype(float)[:, None] for value in values]
        return np.concatenate(columns, 1)


def fit(issues: Issues, seed: int) -> TextFeatures:
    """Returns features as past issues suggest them.

    Args:
      issues: the past.
      seed: of the search for topics.
    """
    values = {name: _frequent(column) for name, column in issues.fields.items()}
    words = TfidfVectorizer(min_df=_LEAST_SEEN, max_features=_MOST_WORDS, sublinear_tf=True)
    try:
        weighted = words.fit_transform(issues.texts)
    except ValueError:  # no word is in so many issues
        return TextFeatures(None, None, values)
    # There are fewer topics than issues and than words.
    most = min(weighted.shape) - 1
    if most < 1:
        return TextFeatures(None, None, values)
    # Where all texts are alike, scikit-learn divides by their variance, for a figure unused here.
    with np.errstate(divide="ignore", invalid="ignore"):
        topics = TruncatedSVD(min(_TOPICS, most), random_state=seed).fit(weighted)
    return TextFeatures(words, topics, values)


def _pairs(issues: Issues) -> zip:
    return zip(issues.titles, issues.descriptions, strict=True)


def _frequent(column: Sequence[str]) -> list[str]:
    found, counts = np.unique(np.array(column, str), return_counts=True)
    return [str(value) for value in found[counts >= _LEAST_SEEN]]
