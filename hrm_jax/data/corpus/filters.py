"""The filters of a corpus, applied in order, with counts of what each removed."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from hrm_jax.data.corpus import credentials, duplicates, generated, licences
from hrm_jax.data.corpus.benchmarks import Benchmarks
from hrm_jax.data.corpus.documents import Document

Filters = dict[str, Callable[[Document], bool]]
"""For each reason, a function that returns whether a document is left out."""


@dataclasses.dataclass
class Count:
    """The number of some documents, and the bytes of their text."""

    files: int = 0
    bytes: int = 0


def standard_filters(benchmarks: Benchmarks) -> Filters:
    """Returns the filters of one corpus, the cheap ones first.

    They remember the texts of the corpus to find duplicates: make new ones for each corpus.

    Args:
      benchmarks: the problems that must not be learned.
    """
    # Filters are asked in this order. The search for duplicates comes after the tests that look at
    # one file, so that it remembers fewer texts, and before the two slow ones.
    seen = duplicates.Seen()
    return {
        "vendored": lambda document: generated.is_vendored(document.path),
        "empty": lambda document: not document.text.strip(),
        "too large": lambda document: generated.is_too_large(document.language, document.text),
        "generated": lambda document: generated.is_generated(document.path, document.text),
        "minified": lambda document: generated.is_minified(document.text),
        "licence": lambda document: not licences.header_is_permissive(document.text),
        "duplicate": lambda document: seen(document.text),
        "secret": lambda document: bool(credentials.find_secrets(document.text)),
        "benchmark": lambda document: benchmarks.overlap(document.text) is not None,
    }


def clean(
    documents: Iterable[Document], filters: Filters, removed: dict[str, Count]
) -> Iterator[Document]:
    """Yields the documents that pass all filters.

    Args:
      documents: in an order that is always the same, as of duplicates the first stays.
      filters: asked in order; the first that objects counts.
      removed: what each took out, added up while documents are taken from the iterator.
    """
    for document in documents:
        # Later filters are not asked once one objects, so `seen` remembers no text that an earlier
        # one removed.
        reason = next((name for name, objects in filters.items() if objects(document)), None)
        if reason is None:
            yield document
            continue
        count = removed.setdefault(reason, Count())
        count.files += 1
        count.bytes += len(document.text.encode("utf-8"))
