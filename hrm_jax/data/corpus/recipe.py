"""How a corpus is made, kept beside it, so that a damaged one can be made again."""

import contextlib
import itertools
import logging
import pathlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias, TypeVar

from hrm_jax.core import config as config_lib
from hrm_jax.core.config import configclass, field
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import write_atomically
from hrm_jax.data import storage
from hrm_jax.data.corpus import packages, prepared
from hrm_jax.data.corpus.benchmarks import Benchmarks, read_benchmark, read_human_eval
from hrm_jax.data.corpus.corpus_dataset_builder import Builder, CorpusConfig
from hrm_jax.data.corpus.documents import Project
from hrm_jax.data.corpus.filters import standard_filters
from hrm_jax.data.corpus.packages import Manifest
from hrm_jax.data.corpus.projects import projects_at, readable
from hrm_jax.data.text.languages import LANGUAGES

RECIPE = "recipe.json"
"""The file beside the folder of a corpus."""

Counting: TypeAlias = Callable[[str, int, str], AbstractContextManager[Callable[[int], None]]]
"""(what is done, how many, of what) -> a context whose callback takes how many more are done."""

_Read = TypeVar("_Read")

_log = logging.getLogger(__name__)


@configclass
class CorpusRecipe:
    """What a corpus is made of.

    Attributes:
      name: what it is called.
      corpus: a manifest, shipped or a path; a folder; or a repository.
      languages: of its files; the manifest's, or all, if empty.
      benchmarks: paths of files whose problems it must not hold.
      human_eval: whether it is kept clear of HumanEval.
      any_licence: whether projects of any licence, or of none, are taken.
    """

    name: str
    corpus: str
    languages: tuple[str, ...] = field((), one_of=LANGUAGES)
    benchmarks: tuple[str, ...] = ()
    human_eval: bool = True
    any_licence: bool = False


def find_manifest(corpus: str) -> Manifest | None:
    """Returns the manifest that a corpus names, or None if it names something else."""
    shipped = packages.MANIFESTS / f"{corpus}.json"
    path = pathlib.Path(corpus).expanduser()
    if path.suffix == ".json" and path.is_file():
        return packages.read_manifest(path)
    # An existing folder of the same name has precedence over a shipped manifest.
    return packages.read_manifest(shipped) if shipped.is_file() and not path.exists() else None


def _silently(what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
    del what, total, unit
    return contextlib.nullcontext(lambda count: None)


def make(
    recipe: CorpusRecipe,
    data_dir: pathlib.Path,
    counting: Counting = _silently,
    keep_as: pathlib.Path | None = None,
) -> pathlib.Path:
    """Makes a corpus, and keeps its recipe beside it.

    Args:
      recipe: what it is made of.
      data_dir: folder for prepared data; downloads and clones are kept there, too.
      counting: shows progress.
      keep_as: the name that a corpus of this name gets which is there; it is deleted if None.

    Returns:
      The folder of the corpus.

    Raises:
      ValueError: nothing is left of it, or a source is not what it should be.
      PackageError: a package cannot be downloaded.
      OSError: a file cannot be read.
    """
    manifest = find_manifest(recipe.corpus)
    if manifest:
        projects = _fetch_all(manifest, data_dir / "downloads", counting)
    else:
        projects = projects_at(recipe.corpus, data_dir / "clones")
    benchmarks = {"HumanEval": [*read_human_eval()]} if recipe.human_eval else {}
    for path in recipe.benchmarks:
        benchmarks[pathlib.Path(path).name] = [*read_benchmark(path)]
    texts = itertools.chain.from_iterable(benchmarks.values())
    with counting("filtering", len(projects), "projects") as progress:
        config = CorpusConfig(
            name=recipe.name,
            description=f"Texts of {readable(recipe.corpus)}.",
            projects=projects,
            filters=standard_filters(Benchmarks(texts)),
            languages=recipe.languages or (manifest.languages if manifest else LANGUAGES),
            benchmarks=list(benchmarks),
            any_licence=recipe.any_licence,
            on_project=lambda _: progress(1),
        )
        folder = prepared.prepare(config, data_dir, keep_as)
    # Written last: where making fails, the corpus that stays keeps the recipe that it was made by.
    write_atomically(folder.parent / RECIPE, config_lib.to_json(recipe))
    return folder


def _fetch_all(manifest: Manifest, downloads: pathlib.Path, counting: Counting) -> list[Project]:
    projects = []
    with counting("downloading", len(manifest.packages), "packages") as progress:
        for package in manifest.packages:
            archive = packages.fetch(package, downloads)
            projects.append(packages.package_project(package, archive))
            progress(1)
    return projects


def read_intact(
    read: Callable[[pathlib.Path], _Read],
    corpus: pathlib.Path | str,
    data_dir: pathlib.Path | str | None = None,
) -> _Read:
    """Returns what is read of a corpus, which is made again where it turns out to be damaged.

    That takes its recipe beside it. A logged warning names the damaged one, and where it is kept.

    Args:
      read: takes the folder, and raises `Damaged` if it cannot be read.
      corpus, data_dir: as in `prepared.find`.

    Raises:
      FileNotFoundError: it is not prepared.
      Damaged: it is damaged, and cannot be made again.
    """
    # Absolute, as a relative path may lack the folders above it that are asked for below.
    folder = prepared.find(corpus, data_dir).absolute()
    try:
        return read(folder)
    except storage.Damaged as damage:
        recipe = _recipe_of(folder)
        if recipe is None:
            raise
        kept = storage.name_for_damaged(folder)
        _log.warning("%s; it is made again now, and then kept as %s", damage, kept)
        try:
            # The data folder: a corpus lies three below it, as `storage.prepared_folder` says.
            made = make(recipe, folder.parents[2], keep_as=kept)
        except (UserError, OSError, ValueError) as failure:
            raise storage.Damaged(f"{damage}, but now that fails: {failure}") from failure
        return read(made)


def _recipe_of(folder: pathlib.Path) -> CorpusRecipe | None:
    """Returns the recipe by which a folder was made; None for one that was copied without it."""
    try:
        text = (folder.parent / RECIPE).read_text(encoding="utf-8")
        recipe = config_lib.from_json(CorpusRecipe, text)
    except (OSError, ValueError):
        return None
    # A folder that was renamed or moved would be made again elsewhere.
    made = folder.parts[-3:] == (Builder.name, recipe.name, str(Builder.VERSION))
    return recipe if made else None
