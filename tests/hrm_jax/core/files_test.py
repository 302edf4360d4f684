import json
import os
import shutil
import subprocess
import sys

import pytest

from hrm_jax.core import files


def test_write_atomically_replaces_whole_files(tmp_path):
    path = tmp_path / "a.json"
    files.write_atomically(path, "old")
    files.write_atomically(path, "né")
    assert path.read_text(encoding="utf-8") == "né"
    files.write_atomically(path, b"\xff\n")
    assert path.read_bytes() == b"\xff\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_appears_whole_has_the_mode_of_the_umask(tmp_path):
    path = tmp_path / "a"
    before = os.umask(0o027)
    try:
        with files.appearing_whole(path) as file:
            file.write(b"content")
            assert not path.exists()
    finally:
        os.umask(before)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["block", "replace"])
def test_a_file_that_does_not_become_whole_leaves_the_old_one(tmp_path, monkeypatch, failing):
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    def write():
        with files.appearing_whole(path) as file:
            file.write(b"new")
            if failing == "block":
                fail()

    if failing == "replace":
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_write_atomically_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch, call):
    path = tmp_path / "a.json"
    files.write_atomically(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"0123456789")
    (tmp_path / "empty").write_bytes(b"")
    files.write_manifest(tmp_path)
    return tmp_path


def test_intact_folder(folder):
    assert files.find_damage(folder) is None
    (folder / "note").write_text("added later")
    assert files.find_damage(folder) is None


def test_flipped_byte_is_seen_by_hash_only(folder):
    (folder / "sub" / "a").write_bytes(b"0123x56789")
    assert files.find_damage(folder) == "sub/a: its bytes differ from the SHA-256 in manifest.json"
    assert files.find_damage(folder, hashes=False) is None


@pytest.mark.parametrize("hashes", [True, False])
def test_truncated_and_missing_files(folder, hashes):
    (folder / "sub" / "a").write_bytes(b"0123")
    assert files.find_damage(folder, hashes=hashes) == "sub/a: expected 10 bytes, found 4"
    (folder / "sub" / "a").unlink()
    assert files.find_damage(folder, hashes=hashes) == "sub/a is missing"
    (folder / "sub" / "a").mkdir()
    size = (folder / "sub" / "a").stat().st_size
    assert files.find_damage(folder) == f"sub/a: expected 10 bytes, found {size}"


@pytest.mark.parametrize(
    "text", ["", "{", "3", "{}", '{"files": 3}', '{"files": {"a": 3}}', "\xff"]
)
def test_unreadable_manifest(folder, text):
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    assert files.find_damage(folder).startswith("manifest.json cannot be read (")


def test_a_flipped_bit_of_the_manifest_is_seen_or_changes_nothing(folder):
    manifest = folder / "manifest.json"
    content = manifest.read_bytes()
    for position in range(len(content)):
        for bit in (0, 4):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            manifest.write_bytes(flipped)
            if files.find_damage(folder) is None:
                assert json.loads(flipped) == json.loads(content)


def test_missing_manifest_and_folder(folder):
    (folder / "manifest.json").unlink()
    assert files.find_damage(folder) == "manifest.json is missing"
    shutil.rmtree(folder)
    assert files.find_damage(folder) == "manifest.json is missing"


def test_file_that_cannot_be_read(folder):
    (folder / "sub" / "a").unlink()
    (folder / "sub").rmdir()
    (folder / "sub").write_text("a file where a folder was")
    assert "sub/a cannot be read" in files.find_damage(folder)


def test_a_folder_is_one_process_s_alone(folder):
    program = f"""
import sys
from pathlib import Path
from hrm_jax.core import files
try:
    with files.exclusive(Path({str(folder)!r})):
        sys.exit(0)
except files.InUse as error:
    sys.exit(str(error))
"""

    def other_process():
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )

    with files.exclusive(folder):
        refused = other_process()
        assert refused.returncode == 1
        assert f"another process works in {folder}; stop it, or wait for it" in refused.stderr
        with files.exclusive(folder, wanted=False):
            pass
    assert other_process().returncode == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"version https://git-lfs", "a pointer of Git LFS"),
        ("version https://git-lfs\noid", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        ("<HTML lang=en>", "a web page"),
        (b"GGML", "why"),
        ("\ud800", "why"),
        ("", "why"),
    ],
)
def test_what_comes_in_place_of_a_file_is_seen_at_its_beginning(content, expected):
    assert files.what_came(content, "why").startswith(expected)


def test_entries_are_lines_that_say_something(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# keys\n\n one \n  # another\ntwo # not a comment\n")
    assert files.read_entries(path) == ["one", "two # not a comment"]
