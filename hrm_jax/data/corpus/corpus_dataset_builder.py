"""The TFDS builder of a corpus: documents of projects, filtered, one record each.

A record has `text`, `language`, `project` and `path`. Records are in the order of their projects'
names; each split has those of its own projects. What the corpus is made of, and what the filters
took out, is kept as metadata (`CorpusReport`). The data is written as array_record, without
TensorFlow.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from hrm_jax.data.corpus import licences
from hrm_jax.data.corpus import projects as projects_lib
from hrm_jax.data.corpus.documents import Document, Project
from hrm_jax.data.corpus.filters import Count, Filters, clean
from hrm_jax.data.text.languages import LANGUAGES

NO_LICENCE = "project's licence"
"""The reason under which a project's documents are removed for its licence."""

_FIELDS = ("text", "language", "project", "path")


@dataclasses.dataclass(eq=False, kw_only=True)
class CorpusConfig(tfds.core.BuilderConfig):
    """The configuration of a corpus.

    Attributes:
      projects: all of them; no two share a name.
      filters: what takes documents out; used up by one preparation, as they remember texts.
      languages: which files are taken.
      benchmarks: names of what the filters keep it clear of, for the report.
      any_licence: take projects whose licence is not permissive, or not known, as well.
      on_project: called with each project before it is read.
    """

    projects: Sequence[Project] = ()
    filters: Filters = dataclasses.field(default_factory=dict)
    languages: Collection[str] = LANGUAGES
    benchmarks: Sequence[str] = ()
    any_licence: bool = False
    on_project: Callable[[Project], None] = lambda project: None


@dataclasses.dataclass
class CorpusReport:
    """The origin of a corpus, and what the filters removed.

    Attributes:
      projects: for each its name, version, licence and split, in order of preparation.
      kept: for each split and language, files and bytes.
      removed: for each filter, files and bytes.
      benchmarks: what it was kept clear of.
    """

    projects: list[dict[str, str]] = dataclasses.field(default_factory=list)
    kept: dict[str, dict[str, Count]] = dataclasses.field(default_factory=dict)
    removed: dict[str, Count] = dataclasses.field(default_factory=dict)
    benchmarks: list[str] = dataclasses.field(default_factory=list)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds a corpus, one record a file."""

    name = "corpus"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}

    @property
    def _config(self) -> CorpusConfig:
        if not isinstance(self.builder_config, CorpusConfig):
            raise TypeError(f"a corpus is made by a CorpusConfig, not by {self.builder_config!r}")
        return self.builder_config

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._config.description or "Texts of files.",
            features=tfds.features.FeaturesDict({field: tfds.features.Text() for field in _FIELDS}),
            metadata=tfds.core.MetadataDict(),
            # TFDS would put records in the order of hashes of their keys.
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        report = CorpusReport(benchmarks=list(self._config.benchmarks))
        splits = {}
        for split, projects in projects_lib.split_projects(self._config.projects).items():
            documents = self._documents(split, projects, report)
            # The first document is read to see whether there is one.
            first = next(documents, None)
            if first is not None:  # TFDS takes no empty splits
                documents = itertools.chain([first], documents)
                splits[split] = self._generate_examples(split, documents, report)
        if not splits:
            removed = ", ".join(f"{n} ({c.files} files)" for n, c in report.removed.items())
            raise ValueError(
                f"nothing is left of the corpus; removed by: {removed or 'no filter'}. Look for"
                " files in the languages asked for, and allow any licence if the texts are yours"
            )
        return splits

    def _documents(
        self, split: str, projects: Sequence[Project], report: CorpusReport
    ) -> Iterator[Document]:
        """Yields the documents of a split's projects that pass the filters."""
        config = self._config
        for project in projects:
            config.on_project(project)
            documents = projects_lib.documents(project, config.languages)
            if not config.any_licence and not licences.is_permissive(project.licence or ""):
                # One filter that objects to everything, so that the files count as removed.
                documents = clean(documents, {NO_LICENCE: lambda _: True}, report.removed)
            yield from clean(documents, config.filters, report.removed)
            report.projects.append(
                {
                    "name": project.name,
                    "version": project.version,
                    "licence": project.licence or "",
                    "split": split,
                }
            )

    def _generate_examples(
        self, split: str, documents: Iterator[Document], report: CorpusReport
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, document in enumerate(documents):
            count = report.kept.setdefault(split, {}).setdefault(document.language, Count())
            count.files += 1
            count.bytes += len(document.text.encode("utf-8"))
            yield number, {field: getattr(document, field) for field in _FIELDS}
        # The last split to finish has it all.
        metadata: Any = self.info.metadata
        metadata.update(dataclasses.asdict(report))
