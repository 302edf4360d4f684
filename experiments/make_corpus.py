"""Makes a corpus of text and code: filtered, split by project, ready for training."""

import dataclasses
import functools
import pathlib
import time

from absl import flags
from rich.console import Console

from experiments.common import command
from experiments.common.terminal import Table, counting_progress, make_console
from hrm_jax.core import files
from hrm_jax.data.corpus import packages, prepared
from hrm_jax.data.corpus.corpus_dataset_builder import CorpusReport
from hrm_jax.data.corpus.filters import Count
from hrm_jax.data.corpus.projects import readable
from hrm_jax.data.corpus.recipe import CorpusRecipe, find_manifest, make
from hrm_jax.data.storage import Damaged, default_data_dir, name_for_damaged
from hrm_jax.data.text.languages import LANGUAGES

_CORPUS = flags.DEFINE_string(
    "corpus", "code50", "a manifest, shipped or of your own (.json); a folder; a repository"
)
_NAME = flags.DEFINE_string("name", None, "what to call it; the manifest's or the folder's name")
_OUT = flags.DEFINE_string(
    "out", None, "folder for prepared data; HRM_JAX_DATA or ~/.cache/hrm_jax by default"
)
_BENCHMARKS = flags.DEFINE_list(
    "benchmarks", [], "files whose problems must not be learned, .jsonl or .json, also .gz"
)
_HUMAN_EVAL = flags.DEFINE_bool("human_eval", True, "keep clear of HumanEval")
_LANGUAGES = flags.DEFINE_list("languages", [], "only these; all, or the manifest's, by default")
_ANY_LICENCE = flags.DEFINE_bool("any_licence", False, "take projects of any licence, or of none")
_REMAKE = flags.DEFINE_bool("remake", False, "make it again though it is there")
_PIN = flags.DEFINE_bool("pin", False, "only fill in the hashes that a manifest of yours lacks")


def main() -> int:
    """Makes the corpus that --corpus names; returns the exit code."""
    # Written to a file, a table has no terminal to fit into.
    console = make_console()
    if _PIN.value:
        return _pin(console, pathlib.Path(_CORPUS.value).expanduser())
    return _make(console)


def _make(console: Console) -> int:
    data_dir = pathlib.Path(_OUT.value).expanduser() if _OUT.value else default_data_dir()
    manifest = find_manifest(_CORPUS.value)
    # Resolved, as a folder may be given as `.`; the address of a repository may end with .git.
    place = readable(pathlib.Path(_CORPUS.value).expanduser().resolve().name)
    name = _NAME.value or (manifest.name if manifest else place.removesuffix(".git"))
    folder = None if _REMAKE.value else _find(name, data_dir)
    # Only a damaged corpus is made again unasked, and the old one is kept under another name.
    keep_as = _name_if_damaged(console, folder) if folder else None
    if folder and keep_as is None:
        _show(console, folder, f"{name}, made before; --remake makes it again")
        return 0
    started = time.monotonic()
    recipe = CorpusRecipe(
        name=name,
        # The recipe stays beside the corpus and may be followed from elsewhere, so its paths are
        # whole.
        corpus=_place(_CORPUS.value),
        languages=tuple(_LANGUAGES.value),
        benchmarks=tuple(_place(path) for path in _BENCHMARKS.value),
        human_eval=_HUMAN_EVAL.value,
        any_licence=_ANY_LICENCE.value,
    )
    folder = make(recipe, data_dir, functools.partial(counting_progress, console), keep_as)
    _show(console, folder, f"{name}, made in {time.monotonic() - started:.0f} s")
    return 0


def _find(name: str, data_dir: pathlib.Path) -> pathlib.Path | None:
    """Returns the folder of a corpus that was made before, or None."""
    try:
        return prepared.find(name, data_dir)
    except FileNotFoundError:
        return None


def _name_if_damaged(console: Console, folder: pathlib.Path) -> pathlib.Path | None:
    """Returns the name that a damaged corpus is to get, and shows the damage; None if intact."""
    try:
        prepared.check(folder)
        return None
    except Damaged as damage:
        keep_as = name_for_damaged(folder)
        console.print(
            f"making it again, and keeping the old as {keep_as}: {damage}", soft_wrap=True
        )
        return keep_as


def _place(named: str) -> str:
    """Returns what leads to a file or folder from anywhere, or a name as it is."""
    path = pathlib.Path(named).expanduser()
    return str(path.resolve()) if path.exists() else named


def _pin(console: Console, path: pathlib.Path) -> int:
    """Fills in the hashes that a manifest lacks, and prints what licence each package states."""
    manifest = packages.read_manifest(path)
    folder = pathlib.Path(_OUT.value).expanduser() if _OUT.value else default_data_dir()
    downloads = folder / "downloads"
    pinned = []
    for package in manifest.packages:
        archive = packages.fetch(package, downloads)
        # A package that has its hash was looked at before.
        if not package.sha256:
            found = packages.stated_licence(archive)
            console.print(f"{package.title}: {package.licence} in the manifest, {found} in itself")
        # Hashes that were there are checked by `fetch`, so they come back unchanged.
        pinned.append(dataclasses.replace(package, sha256=files.hash_of(archive)))
    packages.write_manifest(path, dataclasses.replace(manifest, packages=tuple(pinned)))
    return 0


def _show(console: Console, folder: pathlib.Path, title: str) -> None:
    """Prints tables of what a corpus holds and of what was removed."""
    report = prepared.read_report(folder)
    console.print(title, soft_wrap=True)
    console.print(_table_of_kept(report))
    table = Table()
    table.add_column("taken out as")
    for name in ("files", "MB"):
        table.add_column(name, justify="right")
    # What took most away comes first.
    for reason, count in sorted(report.removed.items(), key=lambda item: -item[1].bytes):
        table.add_row(reason, *_cells(count))
    console.print(table)
    clear_of = ", ".join(report.benchmarks) or "no benchmark"
    made_of = f"{len(report.projects)} projects, clear of {clear_of}"
    console.print(f"{made_of}; in {folder}", soft_wrap=True)
    if "mbpp" not in clear_of.lower():
        console.print("MBPP is not among them: name its file by --benchmarks to keep clear of it.")


def _table_of_kept(report: CorpusReport) -> Table:
    table = Table()
    table.add_column("language")
    splits = [split for split in report.kept if report.kept[split]]
    for split in splits:
        table.add_column(f"{split}: files", justify="right")
        table.add_column("MB", justify="right")
    totals = {split: Count() for split in splits}
    for language in LANGUAGES:
        counts = [report.kept[split].get(language, Count()) for split in splits]
        if any(count.files for count in counts):
            table.add_row(language, *(cell for count in counts for cell in _cells(count)))
        for split, count in zip(splits, counts, strict=True):
            totals[split].files += count.files
            totals[split].bytes += count.bytes
    table.add_section()
    table.add_row("all", *(cell for split in splits for cell in _cells(totals[split])))
    return table


def _cells(count: Count) -> tuple[str, str]:
    return f"{count.files:,}", f"{count.bytes / 1e6:.2f}"


if __name__ == "__main__":
    command.run(main, extras="codegen")
