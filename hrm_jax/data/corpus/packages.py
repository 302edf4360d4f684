"""A corpus of packages, named and pinned: a manifest, and the files of the packages.

A manifest is JSON: a name, the languages taken, and for each package its registry (`pypi` for
source distributions, `npm`), name, version, licence, and the SHA-256 of its archive. The hash
identifies the archive, whatever server it comes from. Source distributions are found through the
index that pip is set up with, npm's through `npm pack`. No code of a package is run.
"""

import fnmatch
import functools
import html
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Literal

from hrm_jax.core import config as config_lib
from hrm_jax.core.config import configclass, field
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import hash_of, read_json, write_atomically
from hrm_jax.data.corpus.documents import SPLITS, Project
from hrm_jax.data.corpus.licences import licence_of_project
from hrm_jax.data.corpus.projects import archive_files
from hrm_jax.data.text.languages import LANGUAGES

MANIFESTS = pathlib.Path(__file__).parent / "manifests"

_LINK = re.compile(r'<a\s[^>]*?href="([^"]+)"[^>]*>\s*([^<]+?)\s*</a>', re.IGNORECASE)
_TIMEOUT_SECONDS = 120


class PackageError(UserError):
    """A package cannot be downloaded, or is not the one in the manifest."""


@configclass
class Package:
    """A package of a registry, at one version."""

    registry: Literal["pypi", "npm"] = field(help="where it is from")
    name: str = field(help="its name there")
    version: str = field(help="the exact version")
    licence: str = field(help="SPDX expression of what is taken of it")
    sha256: str = field("", help="of its archive; empty until it is pinned")
    inside: str = field("", help="an archive in the archive, to take the files of")
    folder: str = field("", help="a folder in it, to take the files of; paths begin below it")
    include: tuple[str, ...] = field(("*",), help="patterns of paths that are taken")
    exclude: tuple[str, ...] = field((), help="patterns of paths that are not")
    split: str | None = field(
        None,
        help="the part of the corpus it goes to; drawn by the name if none",
        one_of=SPLITS,
        remedy="leave it out to draw it by the name",
    )

    @property
    def title(self) -> str:
        """Registry, name and version, as in messages."""
        return f"{self.registry} package {self.name} {self.version}"


@configclass
class Manifest:
    """A named corpus of packages."""

    name: str = field(help="what the corpus is called")
    packages: tuple[Package, ...] = field(help="what it is made of")
    languages: tuple[str, ...] = field(
        LANGUAGES, help="which files are taken", one_of=LANGUAGES, remedy="leave it out for all"
    )


def read_manifest(path: pathlib.Path) -> Manifest:
    """Reads a manifest.

    Raises:
      ConfigError: a field is unknown, missing, or of a wrong type.
    """
    mapping = read_json(path)
    return config_lib.from_dict(Manifest, mapping)


def write_manifest(path: pathlib.Path, manifest: Manifest) -> None:
    """Writes a manifest, one package a line, leaving out fields with their defaults."""
    lines = []
    # Written by hand rather than by `json.dumps(indent=...)`, so that a change of one package
    # changes one line.
    for package in config_lib.to_dict(manifest)["packages"]:
        stated = {name: value for name, value in package.items() if value not in ("", [], None)}
        if stated["include"] == ["*"]:
            del stated["include"]
        lines.append("    " + json.dumps(stated, ensure_ascii=False))
    head = f'  "name": {json.dumps(manifest.name)},\n'
    head += f'  "languages": {json.dumps(manifest.languages)},\n'
    text = "{\n" + head + '  "packages": [\n' + ",\n".join(lines) + "\n  ]\n}\n"
    write_atomically(path, text)


def package_project(package: Package, archive: pathlib.Path) -> Project:
    """Returns the project of a package, from its archive."""

    def read_files() -> Iterator[tuple[str, bytes]]:
        files = archive_files(archive.read_bytes())
        if package.inside:
            content = next((content for path, content in files if path == package.inside), None)
            if content is None:
                raise PackageError(f"{package.title} holds no {package.inside}")
            # Inner archives have no folder of the package's name around their files.
            files = archive_files(content, strip_folder=False)
        for path, content in files:
            if package.folder:
                # `removeprefix` leaves a path outside of the folder as it is.
                inner = path.removeprefix(package.folder.rstrip("/") + "/")
                if inner == path:
                    continue
                path = inner
            wanted = any(fnmatch.fnmatchcase(path, pattern) for pattern in package.include)
            if wanted and not any(fnmatch.fnmatchcase(path, p) for p in package.exclude):
                yield path, content

    name = f"{package.registry}/{package.name}"
    return Project(name, package.version, package.licence, read_files, package.split)


def fetch(package: Package, downloads: pathlib.Path) -> pathlib.Path:
    """Returns a package's archive, downloaded unless it is there already, after checking its hash.

    Args:
      package: what to download; an empty hash fits every archive.
      downloads: folder for archives, made if absent.

    Raises:
      PackageError: there is no such package, or it is another one than the manifest means.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    # Scoped npm names (`@scope/name`) hold a slash, which a file's name cannot.
    plain = package.name.replace("/", "-").lstrip("@")
    path = downloads / f"{package.registry}-{plain}-{package.version}.archive"
    if not path.exists():
        take = {"pypi": _take_source_distribution, "npm": _take_npm}[package.registry]
        write_atomically(path, take(package))
    digest = hash_of(path)
    if package.sha256 and digest != package.sha256:
        # Deleted, as the next call would otherwise take it for downloaded.
        path.unlink()
        raise PackageError(
            f"{package.title}: its archive has SHA-256 {digest}, but the manifest says"
            f" {package.sha256}; what was downloaded is deleted: try again, and if it comes again,"
            " the registry serves another archive than the one that was pinned"
        )
    return path


def stated_licence(archive: pathlib.Path) -> str | None:
    """Returns the SPDX expression that a package's metadata or licence file states, or None."""
    files = archive_files(archive.read_bytes())
    top = {path: content for path, content in files if "/" not in path}
    texts = {path: content.decode("utf-8", errors="replace") for path, content in top.items()}
    return licence_of_project(texts)


def _take_npm(package: Package) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        # --ignore-scripts: packing must not run code of the package.
        command = ["npm", "pack", "--silent", "--ignore-scripts"]
        command += ["--pack-destination", folder, f"{package.name}@{package.version}"]
        try:
            done = subprocess.run(command, capture_output=True, cwd=folder, text=True, check=False)
        except FileNotFoundError:
            raise PackageError(f"{package.title} needs npm: install Node.js") from None
        archives = list(pathlib.Path(folder).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise PackageError(f"npm cannot pack {package.title}: {done.stderr.strip()}")
        return archives[0].read_bytes()


def _take_source_distribution(package: Package) -> bytes:
    """Downloads a source distribution from the index that pip uses."""
    # PEP 503: runs of -, _ and . are equal in names. File names follow it loosely, so both sides
    # are brought to one form.
    project = re.sub(r"[-_.]+", "-", package.name).lower()
    address = f"{index_address().rstrip('/')}/{project}/"
    try:
        links = parse_index(*_get(address))
        for link, name in links:
            stem = re.sub(r"[-_.]+", "-", re.sub(r"\.(?:tar\.\w+|tgz|zip)$", "", name)).lower()
            version = re.sub(r"[-_.]+", "-", package.version).lower()
            if stem == f"{project}-{version}" and not name.endswith(".whl"):
                return _get(urllib.parse.urljoin(address, link))[1]
    except OSError as error:
        raise PackageError(f"{package.title} cannot be downloaded: {error}") from error
    raise PackageError(f"pip's index has no source distribution of {package.title}")


def parse_index(kind: str, content: bytes) -> list[tuple[str, str]]:
    """Returns addresses and names of a project's files, from an index's JSON or HTML (PEP 691)."""
    if "json" in kind:
        return [(file["url"], file["filename"]) for file in json.loads(content)["files"]]
    page = content.decode("utf-8", errors="replace")
    return [(html.unescape(link), html.unescape(name)) for link, name in _LINK.findall(page)]


@functools.cache
def index_address() -> str:
    """Returns the index that pip is set up with: its environment, its files, or its default."""
    stated = os.environ.get("PIP_INDEX_URL")
    if not stated:
        command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        stated = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not stated:
        # Not part of pip's public interface, so it is imported only if nothing else states an
        # index.
        from pip._internal.models.index import PyPI

        stated = str(PyPI.simple_url)
    return stated


def _get(address: str) -> tuple[str, bytes]:
    """Returns the content type and the content of an address."""
    # JSON first (PEP 691); indexes that do not know it answer with HTML.
    accepted = "application/vnd.pypi.simple.v1+json, text/html;q=0.5, */*;q=0.1"
    request = urllib.request.Request(address, headers={"Accept": accepted})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
        return answer.headers.get("Content-Type", ""), answer.read()
