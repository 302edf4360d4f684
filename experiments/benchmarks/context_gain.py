"""The context suite: what parts of other files are worth when a line is completed.

Lines of held-out projects of code50 (validation and test) are cut where somebody may be typing, and
their rest is written: with the file alone, and with parts of other files that take their place in
the same number of characters, so that as much is read. Each line is one record of JSON in the file
of `--records`, and what is there already is not written again. Intervals are those of a bootstrap
over regions: 95 %.
"""

import dataclasses
import difflib
import itertools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from experiments.benchmarks.context_points import Region, draw_regions
from experiments.common.terminal import Table
from hrm_jax.context.choosing import File, choose
from hrm_jax.convert.language import load_language_model
from hrm_jax.core.config import check
from hrm_jax.core.files import parse_json
from hrm_jax.core.texts import NO_PLACE, FilePlace, Prompt
from hrm_jax.data.corpus.documents import Document
from hrm_jax.data.corpus.prepared import find, read_documents
from hrm_jax.editing.windows import suffix_within
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.writing import Writer

ALONE = "alone"
"""The variant that others are compared with."""
CHARACTERS = 3000
"""Of all that is read, at most."""
_SUFFIX_CHARACTERS = 125
_MOST_TOKENS = 32
_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      model: a name or a file.
      variants: of `VARIANTS`, with the characters of other files behind a colon: `others:1000`.
      regions: of files.
      records: file of what is measured; it is gone on with.
      seed: of the draws of regions.
    """

    model: str
    variants: Sequence[str]
    regions: int
    records: pathlib.Path
    seed: int = 0


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures what is missing, prints a table of all, and returns it as JSON values."""
    # Before the model is loaded: a wrong name is told at once.
    for name in options.variants:
        _kind_of(name)
    records = _read_records(options.records)
    # Numbers stand for the same regions at each run, as the seed draws them.
    known = {(one["region"], one["variant"]) for one in records}
    documents = [
        one for split in ("validation", "test") for one in read_documents(find("code50"), split)
    ]
    regions = itertools.islice(draw_regions(documents, options.seed), options.regions)
    numbers = set()
    loaded = load_language_model(options.model, dtype="auto")
    writer = Writer(loaded.model, loaded.variables, loaded.tokenizer, batch_size=8)
    with console.status("") as status, options.records.open("a", encoding="utf-8") as file:
        for region in regions:
            numbers.add(region.number)
            status.update(f"region {len(numbers)} of {options.regions}")
            for name in options.variants:
                if (region.number, name) in known:
                    continue
                found = _complete(writer, region, name)
                file.writelines(json.dumps(one) + "\n" for one in found)
                # A run that is cut short loses a region at most.
                file.flush()
                records += found
    measured = [one for one in records if one["region"] in numbers]
    results = [
        _figures(measured, name, kind) for kind in ("any", "names") for name in options.variants
    ]
    console.print(_table(options, results))
    return {
        "options": dataclasses.asdict(options) | {"records": str(options.records)},
        "results": results,
    }


def _alone(region: Region, characters: int) -> list[File]:
    return []


def _others(region: Region, characters: int) -> list[File]:
    """Returns what is chosen of the other files."""
    return _chosen(region, _files(region.others), characters)


def _all(region: Region, characters: int) -> list[File]:
    """Returns what is chosen of the other files, and of the file itself beyond its window."""
    return _chosen(region, [*_files(region.others), *_unseen(region, characters)], characters)


def _own(region: Region, characters: int) -> list[File]:
    """Returns what is chosen of the file itself beyond its window."""
    return _chosen(region, _unseen(region, characters), characters)


VARIANTS: dict[str, Callable[[Region, int], list[File]]] = {
    ALONE: _alone,
    "path": _alone,
    "others": _others,
    "own": _own,
    "all": _all,
}


def _kind_of(variant: str) -> tuple[str, int]:
    """Returns what a variant shows, and its characters.

    Raises:
      ConfigError: there is none of that name.
    """
    name, _, characters = variant.partition(":")
    check(
        name in VARIANTS and (characters or "0").isdecimal(),
        "variants",
        expected=f"names of {', '.join(VARIANTS)}, such as others:1000",
        got=variant,
        remedy="choose of these",
    )
    return name, int(characters or 0)


def _chosen(region: Region, files: Sequence[File], characters: int) -> list[File]:
    return choose(files, *_around(region), characters)


def _unseen(region: Region, characters: int) -> list[File]:
    """Returns what of a file stands outside of the window around a region."""
    before, after = _around(region)
    path = region.document.path
    return [
        File(path, before[: _window_begin(before, characters)]),
        File(path, after[len(suffix_within(after, _SUFFIX_CHARACTERS)) :]),
    ]


def _window_begin(before: str, characters: int) -> int:
    """Returns where the window begins, at a line, that leaves so many characters to other files."""
    first = max(0, len(before) - (CHARACTERS - _SUFFIX_CHARACTERS - characters))
    # From a line's beginning, as a cut line tells a model little.
    return before.find("\n", first - 1) + 1 if first else 0


def _files(documents: Sequence[Document]) -> list[File]:
    return [File(one.path, one.text) for one in documents]


def _around(region: Region) -> tuple[str, str]:
    """Returns what stands before and behind the first line of a region."""
    lines = region.document.text.split("\n")
    first = region.places[0].line
    return "\n".join([*lines[:first], ""]), "\n".join(["", *lines[first + 1 :]])


def _complete(writer: Writer, region: Region, variant: str) -> list[dict[str, Any]]:
    """Returns a record of each place of a region."""
    name, of_others = _kind_of(variant)
    shown = VARIANTS[name](region, of_others)
    # With a line end behind the name and one behind the text.
    used = sum(len(one.filename) + len(one.text) + 2 for one in shown)
    place = NO_PLACE if name == ALONE else FilePlace(region.document.path, region.document.project)
    lines = region.document.text.split("\n")
    # The same at all places of the region, so that what is before them is read once.
    begin = _window_begin(_around(region)[0], used)
    requests = []
    for one in region.places:
        before = "\n".join([*lines[: one.line], lines[one.line][: one.cut]])
        after = "\n".join(["", *lines[one.line + 1 :]])
        prompt = Prompt(
            before[begin:],
            suffix_within(after, _SUFFIX_CHARACTERS),
            neighbours=tuple((one.filename, one.text) for one in shown),
            place=place,
        )
        requests.append(Request(prompt, max_tokens=_MOST_TOKENS, one_line=True))
    texts = [""] * len(requests)
    for piece in writer.write(requests):
        texts[piece.request] += piece.text
    return [
        {
            "region": region.number,
            "variant": variant,
            "project": region.document.project,
            "language": region.document.language,
            "path": region.document.path,
            **dataclasses.asdict(one),
            "prompt_tokens": len(writer.job(0, request).prompt.tokens),
            "context_characters": used,
            **_judged(text, lines[one.line][one.cut :]),
        }
        for one, request, text in zip(region.places, requests, texts, strict=True)
    ]


def _judged(text: str, wanted: str) -> dict[str, Any]:
    """Returns how near a line's rest is to the one that stands there."""
    # White space at a line's end counts in neither.
    text = text.split("\n")[0].rstrip()
    wanted = wanted.rstrip()
    similarity = difflib.SequenceMatcher(None, text, wanted, autojunk=False).ratio()
    return {"text": text, "wanted": wanted, "exact": text == wanted, "similarity": similarity}


def _read_records(path: pathlib.Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [parse_json(line, str(path)) for line in lines]


def _figures(records: Sequence[Mapping[str, Any]], variant: str, kind: str) -> dict[str, Any]:
    """Returns the figures of a variant at places of a kind, and its differences to `ALONE`."""
    own = {_key(one): one for one in records if (one["variant"], one["kind"]) == (variant, kind)}
    base = {_key(one): one for one in records if (one["variant"], one["kind"]) == (ALONE, kind)}
    # Differences at the same places, so that hard places do not count for one variant alone.
    pairs = [(one, base[key]) for key, one in own.items() if key in base]
    figures: dict[str, Any] = {"variant": variant, "kind": kind, "places": len(own)}
    for measure in ("exact", "similarity", "prompt_tokens"):
        figures[measure] = float(np.mean([one[measure] for one in own.values()] or [np.nan]))
    for measure in ("exact", "similarity"):
        differences: dict[int, list[float]] = {}
        for one, other in pairs:
            differences.setdefault(one["region"], []).append(one[measure] - other[measure])
        figures[f"{measure}_gain"] = _interval(list(differences.values()))
    return figures


def _key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return record["region"], record["line"], record["cut"], record["kind"]


def _interval(clusters: Sequence[Sequence[float]]) -> tuple[float, float, float] | None:
    """Returns the mean of all, and the interval in which it lies in 95 % of resamples."""
    if not clusters:
        return None
    sums = np.array([sum(one) for one in clusters])
    counts = np.array([len(one) for one in clusters])
    # Whole regions are drawn again: places of one region are not independent.
    drawn = np.random.default_rng(0).integers(0, len(sums), (_RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def _table(options: Options, results: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        title=f"{options.model}: the rest of lines, {CHARACTERS} characters read; "
        "differences, their 95 % intervals below"
    )
    for column in (
        "lines",
        "shown",
        "places",
        "exact",
        "similar",
        "exact +",
        "similar +",
        "tokens",
    ):
        table.add_column(column, justify="left" if column in ("lines", "shown") else "right")
    for one in results:
        table.add_row(
            one["kind"],
            one["variant"],
            str(one["places"]),
            f"{one['exact']:.3f}",
            f"{one['similarity']:.3f}",
            _shown(one["exact_gain"]),
            _shown(one["similarity_gain"]),
            f"{one['prompt_tokens']:.0f}",
        )
    return table


def _shown(interval: Sequence[float] | None) -> str:
    if interval is None:
        return ""
    # One below the other: beside each other they would not fit 80 columns.
    return "\n".join(f"{bound:+.3f}" for bound in interval)
