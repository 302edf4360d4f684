"""Secrets and what git ignores are never sent; git itself is asked."""

import json
import pathlib
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pathspec", reason="needs the extra editor")

from hrm_jax.editing.exclusions import SECRETS, IgnoreFile, is_excluded, is_file_excluded

MANIFEST = pathlib.Path(__file__).parents[3] / "editors/vscode/package.json"


def test_secrets_are_excluded_by_default_wherever_they_are():
    secrets = [".env", ".env.local", "a/.env", "b/server.pem", ".ssh/config", "a/id_rsa", "a/.ENV"]
    for path in [*secrets, "a/.aws/credentials", ".npmrc", "x/secrets.yaml"]:
        assert is_excluded(path, [], SECRETS), path
    for path in ["main.py", "environment.py", "src/secrets.py", "a/key.py", "keys.ts"]:
        assert not is_excluded(path, [], SECRETS), path


def test_the_extension_has_the_same_list():
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    properties = manifest["contributes"]["configuration"]["properties"]
    assert properties["hrmJax.exclude"]["default"] == list(SECRETS)


def test_a_deeper_file_of_rules_takes_back_what_one_above_says_a_pattern_never():
    ignore_files = [IgnoreFile("", "*.log\nbuild/"), IgnoreFile("a", "!keep.log\n!build/")]
    assert is_excluded("a/x.log", ignore_files, [])
    assert not is_excluded("a/keep.log", ignore_files, [])
    assert is_excluded("build/x.py", ignore_files, [])
    assert is_excluded("a/keep.log", ignore_files, ["*.log"])


def test_files_of_rules_are_read_up_to_the_repository(tmp_path):
    top = tmp_path / "top"
    (top / ".config" / "inner").mkdir(parents=True)
    (top / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("*.py\n")  # above the repository
    (top / ".gitignore").write_text("private/\n*.txt\n")
    (top / ".config" / ".gitignore").write_text("/inner/hidden.py\n")
    assert not is_file_excluded(top / "a.py", [])
    assert is_file_excluded(top / "private" / "a.py", [])
    assert is_file_excluded(top / ".config" / "inner" / "hidden.py", [])
    assert not is_file_excluded(top / ".config" / "inner" / "shown.py", [])
    assert is_file_excluded(top / "a.py", ["a.*"])


def test_what_a_link_leads_to_counts(tmp_path):
    (tmp_path / ".env").write_text("KEY=1\n")
    link = tmp_path / "settings.py"
    link.symlink_to(tmp_path / ".env")
    assert is_file_excluded(link, SECRETS)


def test_rules_that_are_none_are_left_out():
    assert is_excluded("a.log", [IgnoreFile("", "!\n\\\n/\n*.log")], [])


FOLDERS = st.sampled_from(["a", "b", "c", "build"])
FILES = st.sampled_from(["x.log", "y.py"])
PATHS = st.builds(
    lambda folders, file: "/".join([*folders, file]), st.lists(FOLDERS, max_size=3), FILES
)
RULES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "!", "/"]),
    PATHS | FOLDERS | FILES | st.just("*.log"),
    st.sampled_from(["", "/", "/*", "/**"]),
)
IGNORE_FILES = st.lists(
    st.builds(
        IgnoreFile,
        st.sampled_from(["", "a", "a/b", "build"]),
        st.lists(RULES, max_size=4).map("\n".join),
    ),
    max_size=3,
    unique_by=lambda one: one.folder,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> pathlib.Path:
    top = tmp_path_factory.mktemp("ignored")
    subprocess.run(["git", "init", "-q", top], check=True)
    return top


def test_a_folder_that_is_taken_back_does_not_take_back_what_is_in_it():
    files = [IgnoreFile("", "*.log"), IgnoreFile("build", "!build")]
    assert is_excluded("build/build/x.log", files, [])
    assert not is_excluded("build/build/x.py", files, [])
    assert not is_excluded("build/x.log", [files[0], IgnoreFile("build", "!*.log")], [])


def test_all_that_is_in_a_folder_can_be_taken_back_in_part():
    files = [IgnoreFile("", "a/**\n!x.log")]
    assert not is_excluded("a/x.log", files, [])
    assert is_excluded("a/y.log", files, [])
    assert is_excluded("a/b/x.log", files, [])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(IGNORE_FILES, st.lists(PATHS, min_size=1, max_size=6, unique=True))
def test_git_ignores_the_same_files(repository, ignore_files, paths):
    places = [repository / one.folder / ".gitignore" for one in ignore_files]
    try:
        for place, one in zip(places, ignore_files, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(one.rules)
        ignored = subprocess.run(
            ["git", "check-ignore", "--no-index", "--stdin"],
            cwd=repository,
            input="\n".join(paths),
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split("\n")
        for path in paths:
            assert is_excluded(path, ignore_files, []) == (path in ignored), path
            assert is_file_excluded(repository / path, []) == (path in ignored), path
    finally:
        for place in places:
            place.unlink()
