"""Ranks texts by the words that they share with another one: BM25 (Robertson and Zaragoza 2009)."""

import collections
import math
import re
from collections.abc import Iterator, Mapping, Sequence

Words = collections.Counter[str]

_IDENTIFIER = re.compile(r"[^\W\d]\w+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_SATURATION = 1.2
_LENGTH_SHARE = 0.75
"""BM25's k1 and b, as recommended there."""


def words_of(text: str) -> Words:
    """Returns how often identifiers stand in a text and, of compound ones, their words.

    Of `parse_date` these are `parse_date`, `parse` and `date`.
    """
    return collections.Counter(_words(text))


def scores(query: Mapping[str, float], documents: Sequence[Words]) -> list[float]:
    """Returns how well each document fits a query.

    Args:
      query: what each of its words counts.
      documents: their words.
    """
    sizes = [document.total() for document in documents]
    mean = max(1.0, sum(sizes) / max(1, len(sizes)))
    norms = [_SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * size / mean) for size in sizes]
    found = [0.0] * len(documents)
    # In one order, as sums of the same numbers in another one may differ.
    for word, weight in sorted(query.items()):
        holding = [place for place, document in enumerate(documents) if word in document]
        rarity = math.log1p((len(documents) - len(holding) + 0.5) / (len(holding) + 0.5))
        for place in holding:
            count = documents[place][word]
            found[place] += weight * rarity * count * (_SATURATION + 1) / (count + norms[place])
    return found


def _words(text: str) -> Iterator[str]:
    for identifier in _IDENTIFIER.findall(text):
        yield identifier
        words = _WORD.findall(identifier)
        if len(words) > 1:
            yield from map(str.lower, words)
