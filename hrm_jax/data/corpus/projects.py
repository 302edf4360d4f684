"""Projects from folders, Git repositories and archives, and their documents.

A project goes to one split as a whole: files of one project repeat each other, so that a split by
file would measure memory.
"""

import hashlib
import itertools
import os
import pathlib
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from io import BytesIO

from hrm_jax.data.corpus.documents import SPLITS, Document, Project
from hrm_jax.data.corpus.licences import licence_of_project
from hrm_jax.data.text.languages import LANGUAGES, language_of

_SHARES = {"validation": 5, "test": 5}  # of 100
_METADATA_BYTES = 1_000_000


def projects_at(location: str, clones: pathlib.Path) -> list[Project]:
    """Returns the projects in a folder, or of a repository.

    A Git repository is one project: the files that Git tracks, and those that it neither tracks
    nor ignores. A folder that holds nothing but folders is a collection of projects, one in each;
    any other folder is one project. Files and folders whose names begin with a dot are left out of
    folders.

    Args:
      location: path of a folder, or anything else that `git clone` takes.
      clones: folder for clones, made if absent. An existing clone is used as it is.

    Raises:
      ValueError: there is no such folder, and Git cannot clone it either.
    """
    folder = pathlib.Path(location).expanduser()
    if not folder.is_dir():
        return [_repository(_clone(location, clones), location.rstrip("/").rpartition("/")[2])]
    if (folder / ".git").exists():
        return [_repository(folder)]
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if entries and all(entry.is_dir() for entry in entries):
        return [
            _repository(entry) if (entry / ".git").exists() else _folder(entry) for entry in entries
        ]
    return [_folder(folder)]


def archive_files(content: bytes, *, strip_folder: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yields path and content of every file of a tar (also compressed) or zip archive, by path.

    Args:
      content: the archive.
      strip_folder: leave out the first folder of each path, as all packages have one.
    """
    # Paths are sorted, as the order of an archive depends on the tool that wrote it.
    if zipfile.is_zipfile(BytesIO(content)):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/"):
                    yield _stripped(name, strip_folder), archive.read(name)
        return
    files = {}
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        for member in archive:  # in the order of the archive: going back would unpack it again
            extracted = archive.extractfile(member) if member.isfile() else None
            if extracted is not None:
                files[member.name] = extracted.read()
    for name in sorted(files):
        yield _stripped(name, strip_folder), files[name]


def documents(project: Project, languages: Collection[str] = LANGUAGES) -> Iterator[Document]:
    """Yields the files of a project that are UTF-8 text in one of the languages.

    Line ends become those of Unix, and a byte-order mark is left out. A name that is not UTF-8 is
    written with escapes.
    """
    for path, content in project.read_files():
        try:
            # -sig drops a byte-order mark.
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        # NUL is valid UTF-8, but no text has it.
        language = language_of(path, text) if "\0" not in text else None
        if language is not None and language in languages:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            yield Document(project.name, readable(path), language, text)


def split_projects(projects: Sequence[Project]) -> dict[str, list[Project]]:
    """Assigns projects to `SPLITS`: as they ask themselves, or else by a hash of their names.

    By names, 90 of 100 are for training and 5 each for validation and test. Where none would be
    left for training, all are. Projects of a split are in the order of their names.

    Raises:
      ValueError: two projects share a name, or one asks for a split that there is not.
    """
    ordered = sorted(projects, key=lambda project: project.name)
    for one, other in itertools.pairwise(ordered):
        if one.name == other.name:
            raise ValueError(f"two projects are called {one.name!r}: a corpus takes each once")
    splits: dict[str, list[Project]] = {split: [] for split in SPLITS}
    for project in ordered:
        split = project.split or _drawn_split(project.name)
        if split not in splits:
            raise ValueError(f"{project.name}: splits are {', '.join(SPLITS)}, not {split!r}")
        splits[split].append(project)
    if not splits["train"]:
        # A corpus of one or two projects may draw no split for training.
        splits = {"train": ordered, "validation": [], "test": []}
    return splits


def _drawn_split(name: str) -> str:
    # A hash of the name alone: a project stays in its split when others are added.
    place = int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8]) % 100
    for split, share in _SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def _folder(folder: pathlib.Path) -> Project:
    def paths() -> Iterator[str]:
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            if not any(part.startswith(".") for part in inner.parts):
                yield inner.as_posix()

    return _project(folder, folder.resolve().name, "", paths)


def _repository(folder: pathlib.Path, name: str = "") -> Project:
    def paths() -> Iterator[str]:
        # -z: names are separated by NUL and not quoted. A file in conflict is listed several times.
        listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        yield from sorted(set(filter(None, listed.split("\0"))))

    try:
        commit = _git(folder, "rev-parse", "--verify", "HEAD").strip()
    except ValueError:
        commit = ""  # nothing is committed yet
    return _project(folder, name.removesuffix(".git") or folder.resolve().name, commit, paths)


def _project(
    folder: pathlib.Path, name: str, version: str, paths: Callable[[], Iterator[str]]
) -> Project:
    def read_files() -> Iterator[tuple[str, bytes]]:
        # Listed files may be gone from the working tree, and links may lead out of the project.
        for inner in paths():
            path = folder / inner
            if path.is_file() and not path.is_symlink():
                yield inner, path.read_bytes()

    top = {
        path.name: path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(folder.iterdir())
        if path.is_file() and path.stat().st_size <= _METADATA_BYTES
    }
    return Project(readable(name), version, licence_of_project(top), read_files)


def _clone(location: str, clones: pathlib.Path) -> pathlib.Path:
    """Returns the clone of a repository, cloning it if there is none."""
    clones = clones.expanduser()
    folder = clones / hashlib.sha256(os.fsencode(location)).hexdigest()[:16]
    if folder.exists():
        return folder
    clones.mkdir(parents=True, exist_ok=True)
    # Cloned aside and renamed, so that a clone that was cut off is not taken for a whole one.
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        # --: an address that begins with a dash is not taken for an option.
        _git(clones, "clone", "--quiet", "--depth=1", "--", location, str(unfinished))
    except ValueError as error:
        raise ValueError(
            f"{location} is no folder, and cannot be cloned: {error}; give the path of a folder, or"
            " the address of a repository"
        ) from None
    return unfinished.rename(folder)


def _git(folder: pathlib.Path, *arguments: str) -> str:
    """Returns what Git prints.

    Raises:
      ValueError: Git fails.
    """
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode("utf-8", errors="replace").strip())
    return done.stdout.decode("utf-8", errors="surrogateescape")


def readable(name: str) -> str:
    r"""Returns a file's name as text: bytes of it that are not UTF-8 are written as `\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _stripped(name: str, strip_folder: bool) -> str:
    return (name.partition("/")[2] or name) if strip_folder else name
