"""Prepared corpora: made once, then read as documents, or as tokens of any tokenizer."""

import dataclasses
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from hrm_jax.core.protocols import Tokenizer
from hrm_jax.data.corpus.corpus_dataset_builder import Builder, CorpusConfig, CorpusReport
from hrm_jax.data.corpus.documents import SPLITS, Document
from hrm_jax.data.corpus.filters import Count
from hrm_jax.data.storage import default_data_dir, quiet_tfds
from hrm_jax.data.text.source import Text, TextSource, tokenize

# Records decoded at once.
_DECODE_ROWS = 1000


def prepare(config: CorpusConfig, data_dir: pathlib.Path | str | None = None) -> pathlib.Path:
    """Makes a corpus, replacing a prepared one of the same name.

    Args:
      config: what to make it of.
      data_dir: folder for prepared data; `default_data_dir()` if None.

    Returns:
      The folder of the corpus, which the other functions here take.

    Raises:
      ValueError: the filters leave nothing, or two projects share a name.
    """
    data_dir = default_data_dir() if data_dir is None else pathlib.Path(data_dir).expanduser()
    # With this mode TFDS makes the data anew; its default would return the existing folder.
    settings = tfds.download.DownloadConfig(download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS)
    with quiet_tfds():
        builder = Builder(config=config, data_dir=str(data_dir), file_format="array_record")
        builder.download_and_prepare(download_config=settings)
    return pathlib.Path(builder.data_dir)


def find(corpus: pathlib.Path | str, data_dir: pathlib.Path | str | None = None) -> pathlib.Path:
    """Returns the folder of a prepared corpus.

    Args:
      corpus: its name, or its folder.
      data_dir: where corpora are looked for by name; `default_data_dir()` if None.

    Raises:
      FileNotFoundError: it is not prepared.
    """
    data_dir = default_data_dir() if data_dir is None else pathlib.Path(data_dir).expanduser()
    named = data_dir / Builder.name / str(corpus) / str(Builder.VERSION)
    for folder in (pathlib.Path(corpus).expanduser(), named):
        if (folder / "dataset_info.json").exists():
            return folder
    raise FileNotFoundError(
        f"{corpus} is not prepared, neither as a folder nor below {data_dir / Builder.name}: run"
        f" python -m experiments.make_corpus --corpus={corpus}"
    )


def read_report(folder: pathlib.Path) -> CorpusReport:
    """Returns the report that was saved with a prepared corpus."""
    metadata: Any = _open(folder).info.metadata
    kept = {
        split: {language: Count(**count) for language, count in languages.items()}
        for split, languages in metadata["kept"].items()
    }
    removed = {reason: Count(**count) for reason, count in metadata["removed"].items()}
    return CorpusReport(metadata["projects"], kept, removed, metadata["benchmarks"])


def read_documents(folder: pathlib.Path, split: str) -> Iterator[Document]:
    """Yields the documents of a split, in order.

    Raises:
      ValueError: the corpus has no such split.
    """
    builder = _open(folder)
    if split not in builder.info.splits:
        raise ValueError(
            f"{folder} has the splits {', '.join(sorted(builder.info.splits))}, not {split!r}; a"
            f" corpus has {', '.join(SPLITS)} if it has enough projects"
        )
    records: Any = builder.as_data_source(split)  # pyright: ignore[reportCallIssue]
    for first in range(0, len(records), _DECODE_ROWS):
        rows = records.__getitems__(range(first, min(first + _DECODE_ROWS, len(records))))
        for row in rows:
            yield Document(**{field: value.decode("utf-8") for field, value in row.items()})


def load_source(
    corpus: pathlib.Path | str,
    split: str,
    tokenizer: Tokenizer,
    data_dir: pathlib.Path | str | None = None,
) -> TextSource:
    """Loads a split as tokens, which are saved beside the documents for the next call.

    Args:
      corpus: a name or a folder, as in `find`.
      split: one of `SPLITS`.
      tokenizer: what to encode with.
      data_dir: as in `find`.

    Raises:
      FileNotFoundError: the corpus is not prepared.
      ValueError: the corpus has no such split.
    """
    folder = find(corpus, data_dir)
    arrays = folder / f"tokens-{split}-{_fingerprint(tokenizer)}.npz"
    # The fields that are arrays, found by their annotations; the others follow from the tokenizer.
    plain = [field.name for field in dataclasses.fields(TextSource) if "Int[" in str(field.type)]
    if arrays.exists():
        with np.load(arrays) as saved:
            return TextSource(
                **{name: saved[name] for name in plain},
                begins=tokenizer.bos_token is not None,
                infilling=tokenizer.infilling,
            )
    texts = (Text(d.text, language=d.language) for d in read_documents(folder, split))
    source = tokenize(texts, tokenizer)
    # Written aside and renamed, so that a reader beside us never sees half a file.
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".npz", delete=False) as file:
        np.savez(file, **{name: getattr(source, name) for name in plain})
    os.replace(file.name, arrays)
    return source


def _open(folder: pathlib.Path) -> tfds.core.DatasetBuilder:
    with quiet_tfds():
        return tfds.builder_from_directory(str(folder))


def _fingerprint(tokenizer: Tokenizer) -> str:
    """Returns a hash of all that a tokenizer saves: equal hashes mean equal tokens."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        for path in sorted(pathlib.Path(folder).iterdir()):
            digest.update(path.name.encode("utf-8") + path.read_bytes())
    return digest.hexdigest()[:16]
