"""Prepared corpora: made once, then read as documents, or as tokens of any tokenizer."""

import contextlib
import dataclasses
import hashlib
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from hrm_jax.core.protocols import Tokenizer
from hrm_jax.data import storage
from hrm_jax.data.corpus.corpus_dataset_builder import Builder, CorpusConfig, CorpusReport
from hrm_jax.data.corpus.documents import CORPUS_FILE, SPLITS, Document
from hrm_jax.data.corpus.filters import Count
from hrm_jax.data.storage import Damaged, data_dir_of
from hrm_jax.data.text.source import Text, TextSource, tokenize


def prepare(
    config: CorpusConfig,
    data_dir: pathlib.Path | str | None = None,
    keep_as: pathlib.Path | None = None,
) -> pathlib.Path:
    """Makes a corpus, which replaces a prepared one of the same name once it is whole.

    Args:
      config: what to make it of.
      data_dir: folder for prepared data; `default_data_dir()` if None.
      keep_as: the name that the replaced one gets; it is deleted if None.

    Returns:
      The folder of the corpus, which the other functions here take.

    Raises:
      ValueError: the filters leave nothing, or two projects share a name.
    """
    return storage.make(Builder, config, data_dir_of(data_dir), replace=True, keep_as=keep_as)


def find(corpus: pathlib.Path | str, data_dir: pathlib.Path | str | None = None) -> pathlib.Path:
    """Returns the folder of a prepared corpus.

    Args:
      corpus: its name, or its folder.
      data_dir: where corpora are looked for by name; `default_data_dir()` if None.

    Raises:
      FileNotFoundError: it is not prepared.
    """
    data_dir = data_dir_of(data_dir)
    folder = pathlib.Path(corpus).expanduser()
    # A folder has precedence over a corpus of that name.
    if (folder / CORPUS_FILE).exists():
        return folder
    named = storage.prepared_folder(Builder, str(corpus), data_dir)
    if named.is_dir():
        return named
    raise FileNotFoundError(
        f"{corpus} is not prepared, neither as a folder nor below {data_dir / Builder.name}: run"
        f" python -m experiments.make_corpus --corpus={corpus}"
    )


def read_report(folder: pathlib.Path) -> CorpusReport:
    """Returns the report that was saved with a prepared corpus.

    Raises:
      Damaged: the corpus, or its report, cannot be read.
    """
    with _saying_how_to_mend():
        # JSON that TFDS reads as it is: a report of other fields is damage, not a defect of ours.
        metadata: Any = storage.open_prepared(folder).info.metadata
        try:
            kept = {
                split: {language: Count(**count) for language, count in languages.items()}
                for split, languages in metadata["kept"].items()
            }
            removed = {reason: Count(**count) for reason, count in metadata["removed"].items()}
            return CorpusReport(metadata["projects"], kept, removed, metadata["benchmarks"])
        except (AttributeError, KeyError, TypeError) as error:
            raise Damaged(f"prepared data are damaged: {folder / 'metadata.json'}") from error


def read_documents(folder: pathlib.Path, split: str) -> Iterator[Document]:
    """Yields the documents of a split, in order.

    Raises:
      ValueError: the corpus has no such split.
      Damaged: it cannot be read.
    """
    with _saying_how_to_mend():
        splits = sorted(storage.open_prepared(folder).info.splits)
        if split not in splits:
            raise ValueError(
                f"{folder} has the splits {', '.join(splits)}, not {split!r}; a corpus has"
                f" {', '.join(SPLITS)} if it has enough projects"
            )
        for rows in storage.read_records(folder, split):
            for row in rows:
                yield Document(**{field: value.decode("utf-8") for field, value in row.items()})


def check(folder: pathlib.Path) -> None:
    """Reads the whole of a prepared corpus.

    Raises:
      Damaged: something of it cannot be read.
    """
    read_report(folder)
    with _saying_how_to_mend():
        storage.check_prepared(folder)


def load_source(
    corpus: pathlib.Path | str,
    split: str,
    tokenizer: Tokenizer,
    data_dir: pathlib.Path | str | None = None,
) -> TextSource:
    """Loads a split as tokens, which are kept beside the documents for the next call.

    Args:
      corpus: a name or a folder, as in `find`.
      split: one of `SPLITS`.
      tokenizer: what to encode with.
      data_dir: as in `find`.

    Raises:
      FileNotFoundError: the corpus is not prepared.
      ValueError: the corpus has no such split.
      Damaged: the documents cannot be read.
    """
    folder = find(corpus, data_dir)
    arrays = folder / f"tokens-{split}-{_fingerprint(tokenizer)}.npz"
    # The fields that are arrays, found by their annotations; the others follow from the tokenizer.
    plain = [field.name for field in dataclasses.fields(TextSource) if "Int[" in str(field.type)]

    def encode() -> Mapping[str, Any]:
        texts = (Text(d.text, language=d.language) for d in read_documents(folder, split))
        return vars(tokenize(texts, tokenizer))

    return TextSource(
        **storage.kept_arrays(arrays, plain, encode),
        begins=tokenizer.bos_token is not None,
        infilling=tokenizer.infilling,
    )


@contextlib.contextmanager
def _saying_how_to_mend() -> Iterator[None]:
    """Adds to `Damaged` how any corpus is made again; `recipe.read_intact` does it by itself."""
    try:
        yield
    except Damaged as damage:
        raise Damaged(
            f"{damage}; python -m experiments.make_corpus, with the flags of before, makes it again"
        ) from damage


def _fingerprint(tokenizer: Tokenizer) -> str:
    """Returns a hash of all that a tokenizer saves: equal hashes mean equal tokens."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        for path in sorted(pathlib.Path(folder).iterdir()):
            # Names of files too, so that equal bytes in other files are another tokenizer.
            digest.update(path.name.encode("utf-8") + path.read_bytes())
    return digest.hexdigest()[:16]
