"""Projects: folders, repositories, archives; their documents and splits."""

import io
import os
import subprocess
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.corpus import prepared, projects
from hrm_jax.data.corpus.corpus_dataset_builder import CorpusConfig
from hrm_jax.data.corpus.documents import Document, Project

MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"


def _write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def _git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def _read(project):
    return {path: content.decode() for path, content in project.read_files()}


@pytest.fixture
def repository(tmp_path):
    folder = _write(tmp_path / "work", {"a.py": "1", "b/c.js": "2", "LICENSE": MIT})
    _write(folder, {".gitignore": "out/\n", "out/d.py": "3", "new.py": "4"})
    _git(folder, "init", "-q")
    _git(folder, "add", "a.py", "b", "LICENSE", ".gitignore")
    _git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_folder_is_a_project(tmp_path):
    folder = _write(tmp_path / "mine", {"b.py": "2", "a/a.py": "1", ".env": "x", ".x/y.py": "z"})
    (folder / "link.py").symlink_to(folder / "b.py")
    (project,) = projects.projects_at(str(folder), tmp_path)
    assert (project.name, project.version, project.licence) == ("mine", "", None)
    assert list(_read(project).items()) == [("a/a.py", "1"), ("b.py", "2")]


def test_a_repository_is_what_git_does_not_ignore(repository, tmp_path):
    (project,) = projects.projects_at(str(repository), tmp_path)
    assert _read(project).keys() == {".gitignore", "LICENSE", "a.py", "b/c.js", "new.py"}
    assert (project.name, len(project.version), project.licence) == ("work", 40, "MIT")
    (repository / "a.py").unlink()  # tracked, but not there
    assert "a.py" not in _read(project)


def test_a_repository_without_commits_has_no_version(tmp_path):
    folder = _write(tmp_path / "new", {"a.py": "1"})
    _git(folder, "init", "-q")
    (project,) = projects.projects_at(str(folder), tmp_path)
    assert (project.version, _read(project)) == ("", {"a.py": "1"})


def test_an_address_is_cloned_once(repository, tmp_path):
    address = f"file://{repository}"
    (project,) = projects.projects_at(address, tmp_path / "clones")
    assert (project.name, _read(project)["a.py"]) == ("work", "1")
    (repository / ".git").rename(tmp_path / "gone")
    (again,) = projects.projects_at(address, tmp_path / "clones")
    assert (again.version, _read(again)) == (project.version, _read(project))


def test_what_is_no_folder_and_no_repository_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder, and cannot be cloned"):
        projects.projects_at(str(tmp_path / "nothing"), tmp_path / "clones")


def test_a_folder_of_folders_is_a_shelf_of_projects(repository, tmp_path):
    shelf = tmp_path / "shelf"
    _write(shelf / "one", {"a.py": "1"})
    repository.rename(shelf / "two")
    found = projects.projects_at(str(shelf), tmp_path)
    assert [project.name for project in found] == ["one", "two"]
    assert "out/d.py" not in _read(found[1])
    _write(shelf, {"setup.py": "x"})
    assert [project.name for project in projects.projects_at(str(shelf), tmp_path)] == ["shelf"]


FILES = {"p-1.0/b.py": b"2", "p-1.0/a/a.py": b"1"}


def _tar(mode):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("p-1.0/link.py")
        link.type = tarfile.SYMTYPE
        link.linkname = "b.py"
        archive.addfile(link)
    return file.getvalue()


def _zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("p-1.0/", "")
        for name, content in FILES.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("content", [_tar("w:gz"), _tar("w"), _zip()])
def test_archives_are_read_by_path(content):
    assert list(projects.archive_files(content)) == [("a/a.py", b"1"), ("b.py", b"2")]
    whole = dict(projects.archive_files(content, strip_folder=False))
    assert whole == FILES


def _project(name, files=(), split=None):
    return Project(name, "", "MIT", lambda: iter(files), split)


def test_documents_are_text_in_the_languages_asked_for():
    files = [
        ("a.py", b"\xef\xbb\xbfa\r\nb\rc\n"),
        ("b.py", b"\xff\xfe"),
        ("c.py", b"a\0b"),
        ("d.js", b"d"),
        ("e.png", b"e"),
    ]
    found = list(projects.documents(_project("p", files), ["python"]))
    assert found == [Document("p", "a.py", "python", "a\nb\nc\n")]
    assert [d.path for d in projects.documents(_project("p", files))] == ["a.py", "d.js"]


def test_projects_are_dealt_out_by_name_whatever_else_there_is():
    many = [_project(f"project {number}") for number in range(400)]
    splits = projects.split_projects(many)
    assert {split: len(found) for split, found in splits.items()} == pytest.approx(
        {"train": 360, "validation": 20, "test": 20}, abs=12
    )
    some = projects.split_projects(many[:100])
    for split, found in some.items():
        assert {p.name for p in found} <= {p.name for p in splits[split]}


def test_a_stated_split_wins_and_something_is_left_to_train_on():
    splits = projects.split_projects([_project("b", split="test"), _project("a", split="train")])
    assert {split: [p.name for p in found] for split, found in splits.items()} == {
        "train": ["a"],
        "validation": [],
        "test": ["b"],
    }
    alone = projects.split_projects([_project("b", split="test")])
    assert [p.name for p in alone["train"]] == ["b"]


def test_names_and_splits_are_checked():
    with pytest.raises(ValueError, match="two projects are called 'a'"):
        projects.split_projects([_project("a"), _project("b"), _project("a")])
    with pytest.raises(ValueError, match="splits are train, validation, test, not 'dev'"):
        projects.split_projects([_project("a", split="dev")])


NOT_UTF8 = b"caf\xe9"


@pytest.mark.parametrize("versioned", [True, False])
def test_names_that_are_not_utf8_are_written_with_escapes(tmp_path, versioned):
    folder = tmp_path / os.fsdecode(NOT_UTF8)
    _write(folder, {os.fsdecode(NOT_UTF8 + b".py"): "1", "b.py": "2"})
    if versioned:
        _git(folder, "init", "-q")
    found = projects.projects_at(str(folder), tmp_path / "clones")
    assert [project.name for project in found] == [r"caf\xe9"]
    assert {d.path: d.text for d in projects.documents(found[0])} == {
        r"caf\xe9.py": "1",
        "b.py": "2",
    }
    config = CorpusConfig(name="c", projects=found, any_licence=True)
    prepared_folder = prepared.prepare(config, tmp_path / "data")
    paths = [document.path for document in prepared.read_documents(prepared_folder, "train")]
    assert sorted(paths) == ["b.py", r"caf\xe9.py"]
    assert [project["name"] for project in prepared.read_report(prepared_folder).projects] == [
        r"caf\xe9"
    ]


@given(st.binary(min_size=1))
def test_every_name_of_a_file_becomes_text(name):
    text = projects.readable(os.fsdecode(name))
    assert text.encode("utf-8")
    assert projects.readable(text) == text


def test_a_location_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be cloned"):
        projects.projects_at(str(tmp_path / os.fsdecode(NOT_UTF8)), tmp_path / "clones")
