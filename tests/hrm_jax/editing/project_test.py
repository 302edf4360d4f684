import pytest

pytest.importorskip("pathspec", reason="needs the extra editor")

from hrm_jax.editing.project import MOST_BYTES, MOST_FILES, Project, read


def names(found, root):
    return [path.relative_to(root).as_posix() for path in found]


def test_what_is_imported_comes_first_then_what_lies_beside(tmp_path):
    for name in (
        *("a/main.py", "a/beside.py", "a/notes.md", "b/dates.py", "b/colours.py", "c/__init__.py"),
        *("node_modules/dates.py", ".hidden/dates.py", "b/dates.ts"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x = 1\n")
    project = Project()
    main = tmp_path / "a" / "main.py"
    found = project.near(main, tmp_path, {"dates", "c"})
    assert names(found, tmp_path) == ["b/dates.py", "c/__init__.py", "a/beside.py"]
    # Files are listed once for a while, and anew for another project.
    (tmp_path / "a" / "new.py").write_text("")
    assert names(project.near(main, tmp_path, set()), tmp_path) == ["a/beside.py"]
    assert names(project.near(main, tmp_path / "a", set()), tmp_path) == ["a/beside.py", "a/new.py"]


def test_not_more_files_are_looked_at_than_some(tmp_path):
    for number in range(MOST_FILES + 5):
        (tmp_path / f"file_{number}.py").write_text("")
    found = Project().near(tmp_path / "file_0.py", tmp_path, {"file_3"})
    assert len(found) == MOST_FILES
    assert found[0].name == "file_3.py"


def test_what_is_no_text_or_large_is_not_read(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("x = 'é'\n", encoding="utf-8")
    assert read(path) == "x = 'é'\n"
    path.write_bytes(b"x = '\xe9'\n")
    assert read(path) is None
    path.write_text("x" * (MOST_BYTES + 1))
    assert read(path) is None
    assert read(tmp_path) is None
    assert read(tmp_path / "absent.py") is None
