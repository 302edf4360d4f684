"""Packages: manifests, archives checked by their hash, the files taken of them."""

import hashlib
import io
import json
import subprocess
import zipfile

import pytest

from hrm_jax.core import files
from hrm_jax.core.config import ConfigError
from hrm_jax.data.corpus import licences, packages
from hrm_jax.data.corpus.packages import Manifest, Package, PackageError

FILES = {
    "p-1/a.py": b"a = 1\n",
    "p-1/src/b.py": b"b = 2\n",
    "p-1/src/deep/c.py": b"c = 3\n",
    "p-1/package.json": b'{"license": "ISC"}',
}


def _archive(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()


ARCHIVE = _archive(FILES)
HASH = hashlib.sha256(ARCHIVE).hexdigest()


def _package(**changes):
    return Package(
        **({"registry": "pypi", "name": "Some.Thing", "version": "1.0", "licence": "MIT"} | changes)
    )


@pytest.fixture
def served(monkeypatch):
    """An index that serves one archive, and says how often it was asked."""
    asked = []
    files = [
        {"filename": "some_thing-1.0-py3-none-any.whl", "url": "wheel"},
        {"filename": "some_thing-1.0.1.tar.gz", "url": "later"},
        {"filename": "some_thing-1.0.zip", "url": "files/some_thing-1.0.zip"},
    ]

    def get(address):
        asked.append(address)
        if address.endswith(".zip"):
            return "application/zip", ARCHIVE
        if address == "index/some-thing/":
            return "application/vnd.pypi.simple.v1+json", json.dumps({"files": files}).encode()
        raise OSError("404")

    monkeypatch.setattr(packages, "_get", get)
    monkeypatch.setattr(packages, "index_address", lambda: "index")
    return asked


def test_archives_are_downloaded_once_and_checked(served, tmp_path):
    path = packages.fetch(_package(sha256=HASH), tmp_path / "downloads")
    assert path.read_bytes() == ARCHIVE
    assert served == ["index/some-thing/", "index/some-thing/files/some_thing-1.0.zip"]
    assert packages.fetch(_package(sha256=HASH), tmp_path / "downloads") == path
    assert len(served) == 2
    assert files.hash_of(path) == HASH
    assert packages.stated_licence(path) == "ISC"


def test_another_archive_is_refused_and_not_kept(served, tmp_path):
    with pytest.raises(PackageError, match=rf"has SHA-256 {HASH}, but the manifest says 00"):
        packages.fetch(_package(sha256="00"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "3.0"}, "no source distribution of pypi package Some.Thing 3.0"),
        ({"name": "other"}, "pypi package other 1.0 cannot be downloaded: 404"),
    ],
)
def test_what_the_index_lacks_is_named(served, tmp_path, change, message):
    with pytest.raises(PackageError, match=message):
        packages.fetch(_package(**change), tmp_path)


def test_npm_packs(monkeypatch, tmp_path):
    def run(command, *, cwd, **_):
        assert command[:2] == ["npm", "pack"]
        assert "--ignore-scripts" in command
        if command[-1] == "@a/b@1.0":
            (packages.pathlib.Path(cwd) / "a-b-1.0.tgz").write_bytes(ARCHIVE)
            return subprocess.CompletedProcess(command, 0, "", "")
        return subprocess.CompletedProcess(command, 1, "", "E404")

    monkeypatch.setattr(packages.subprocess, "run", run)
    path = packages.fetch(_package(registry="npm", name="@a/b"), tmp_path)
    assert path.read_bytes() == ARCHIVE
    with pytest.raises(PackageError, match=r"npm cannot pack npm package c 1\.0: E404"):
        packages.fetch(_package(registry="npm", name="c"), tmp_path)


def test_npm_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match="needs npm: install"):
        packages.fetch(_package(registry="npm"), tmp_path)


def test_indexes_answer_in_html_as_well():
    page = b'<a href="../x-1.tar.gz#sha256=0&amp;1" data-a="b">x-1.tar.gz</a>\n<A HREF="y">y\n</A>'
    expected = [("../x-1.tar.gz#sha256=0&1", "x-1.tar.gz"), ("y", "y")]
    assert packages.parse_index("text/html; charset=utf-8", page) == expected


def test_the_index_is_the_one_pip_is_set_up_with(monkeypatch):
    packages.index_address.cache_clear()
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.org/simple")
    assert packages.index_address() == "https://index.example.org/simple"
    packages.index_address.cache_clear()
    monkeypatch.delenv("PIP_INDEX_URL")
    assert packages.index_address().startswith("http")
    packages.index_address.cache_clear()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["a.py", "package.json", "src/b.py", "src/deep/c.py"]),
        ({"include": ("src/*",), "exclude": ("*/deep/*",)}, ["src/b.py"]),
        ({"folder": "src", "include": ("*.py",)}, ["b.py", "deep/c.py"]),
    ],
)
def test_the_files_asked_for_are_taken(tmp_path, change, expected):
    (tmp_path / "archive").write_bytes(ARCHIVE)
    package = _package(split="test", **change)
    project = packages.package_project(package, tmp_path / "archive")
    assert [path for path, _ in project.read_files()] == expected
    assert (project.name, project.version, project.licence, project.split) == (
        "pypi/Some.Thing",
        "1.0",
        "MIT",
        "test",
    )


def test_an_archive_in_the_archive(tmp_path):
    (tmp_path / "archive").write_bytes(_archive({"q-1/inner.zip": ARCHIVE, "q-1/x.py": b"x"}))
    project = packages.package_project(_package(inside="inner.zip"), tmp_path / "archive")
    assert dict(project.read_files()) == FILES
    project = packages.package_project(_package(inside="none.zip"), tmp_path / "archive")
    with pytest.raises(PackageError, match=r"holds no none\.zip"):
        list(project.read_files())


def test_manifests_are_written_and_read(tmp_path):
    manifest = Manifest("mine", (_package(include=("*.py",)), _package(split="test")), ("python",))
    packages.write_manifest(tmp_path / "mine.json", manifest)
    assert packages.read_manifest(tmp_path / "mine.json") == manifest


@pytest.mark.parametrize(
    ("package", "languages", "message"),
    [
        ({"registry": "cpan"}, ["c"], "packages.*registry: expected one of 'pypi', 'npm'"),
        ({"split": "dev"}, ["c"], "split: expected one of 'train'.*; leave it out"),
        (
            {},
            ["klingon"],
            r"languages\[0\]: expected one of 'python'.*got 'klingon'; leave it out",
        ),
        ({"licens": "MIT"}, ["c"], "unknown field; the nearest is"),
    ],
)
def test_manifests_are_checked(tmp_path, package, languages, message):
    stated = {"registry": "npm", "name": "a", "version": "1", "licence": "MIT"} | package
    mapping = {"name": "m", "packages": [stated], "languages": languages}
    (tmp_path / "m.json").write_text(json.dumps(mapping))
    with pytest.raises(ConfigError, match=message):
        packages.read_manifest(tmp_path / "m.json")


def test_the_shipped_manifests_are_pinned_and_permissive():
    paths = sorted(packages.MANIFESTS.glob("*.json"))
    assert [path.stem for path in paths] == ["code50"]
    for path in paths:
        manifest = packages.read_manifest(path)
        assert manifest.name == path.stem
        names = [(package.registry, package.name) for package in manifest.packages]
        assert len(set(names)) == len(names)
        for package in manifest.packages:
            assert len(package.sha256) == 64
            assert licences.is_permissive(package.licence), package.title
