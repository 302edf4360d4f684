import errno
import os

import hypothesis
import pytest
from hypothesis import strategies as st

from hrm_jax.studio.folders import (
    Runs,
    UnknownRun,
    UnreadableRuns,
    open_regular,
    read_end,
    read_object,
    reason_of,
)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/..",
        "a/../b",
        "/etc",
        "a/b/c",
        ".bin",
        "a/.hidden",
        "a//b",
        "a\0",
        "a\\b",
    ],
)
def test_names_that_lead_elsewhere(runs, name):
    with pytest.raises(UnknownRun, match="expected a name"):
        runs.path(name)


@hypothesis.given(st.text(alphabet="./a~\\\0 <", max_size=12))
def test_no_name_leaves_the_folder(tmp_path_factory, name):
    runs = Runs(tmp_path_factory.getbasetemp() / "root")
    try:
        path = runs.path(name)
    except UnknownRun:
        return
    assert path != runs.root
    assert runs.root in path.parents
    assert os.path.normpath(path) == str(path)


def test_runs_are_found_two_folders_deep_and_others_are_not(runs, write_run):
    for name in ("b", "group/a", "<img src=x>"):
        write_run(name)
    (runs.root / "empty").mkdir()
    (runs.root / ".bin" / "gone").mkdir(parents=True)
    (runs.root / ".bin" / "gone" / "config.json").write_text("{}")
    assert runs.names() == ["<img src=x>", "b", "group/a"]
    assert runs.find("group/a") == runs.root / "group" / "a"
    with pytest.raises(UnknownRun, match="no run 'empty'"):
        runs.find("empty")


def test_a_folder_that_cannot_be_read_is_told_of(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnreadableRuns, match=r"--runs=.*file: expected a folder .* Not a dir"):
        Runs(tmp_path / "file").names()


def test_a_folder_that_does_not_exist_has_no_runs(runs):
    assert runs.names() == []


@pytest.fixture
def others(tmp_path, write_run):
    """Runs beside which there are a run and a folder of runs elsewhere."""
    runs = Runs(tmp_path / "runs", {"(one)": tmp_path / "one", "(many)": tmp_path / "many"})
    write_run("own").rename(tmp_path / "one")
    for name in ("own", "(one)"):
        write_run(name)
    (tmp_path / "many" / "a" / "b").mkdir(parents=True)
    (tmp_path / "many" / "a" / "b" / "config.json").write_text("{}")
    (tmp_path / "many" / "link").symlink_to(tmp_path / "one")
    return runs


def test_folders_elsewhere_are_only_read(others, tmp_path):
    assert others.names() == ["(many)/a/b", "(one)", "own"]
    assert others.find("(one)") == tmp_path / "one"
    assert others.find("(many)/a/b") == tmp_path / "many" / "a" / "b"
    assert [others.is_own(name) for name in others.names()] == [False, False, True]
    for name in ("(one)", "(many)/a/b", "(many)/new"):
        with pytest.raises(UnknownRun, match="is only read here"):
            others.own(name)


@pytest.mark.parametrize("name", ["(many)/../one", "(many)/link", "(many)", "(one)/x/y/z"])
def test_names_do_not_lead_out_of_folders_elsewhere(others, name):
    with pytest.raises(UnknownRun):
        others.find(name)


def test_links_are_not_followed(runs, write_run, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "config.json").write_text('{"a": 1}')
    folder = write_run("real")
    (runs.root / "linked").symlink_to(tmp_path / "secret")
    (folder / "link.json").symlink_to(tmp_path / "secret" / "config.json")
    assert runs.names() == ["real"]
    with pytest.raises(UnknownRun, match="is a link"):
        runs.find("linked")
    assert read_object(folder / "link.json") == {}
    with pytest.raises(OSError, match="symbolic link"), open_regular(folder / "link.json"):
        pass


def test_pipes_and_folders_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        assert read_end(path, 10) == ""
        assert read_object(path) == {}


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "[" * 50_000, '{"a": 1} x'])
def test_damaged_objects_are_empty(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    assert read_object(tmp_path / "a.json") == {}


def test_the_end_of_a_file_is_whole_lines(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"first\nsecond\nth\xffird\n")
    assert read_end(path, 12) == "th�ird\n"
    assert read_end(path, 100) == "first\nsecond\nth�ird\n"
    assert read_end(tmp_path / "none", 5) == ""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk of the runs is full; make"),
        (PermissionError(errno.EACCES, "Permission denied", "/r/a"), "/r/a: Permission denied"),
        (OSError("odd"), "the folder of the runs: odd; see whether"),
        (UnknownRun("there is no run 'a'"), "there is no run 'a'"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_to_do(error, told):
    assert reason_of(error).startswith(told)
