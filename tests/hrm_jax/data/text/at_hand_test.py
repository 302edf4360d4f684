"""The code that every Python comes with."""

import pathlib
import sysconfig

import pytest

from hrm_jax.data.text import at_hand
from hrm_jax.data.text.at_hand import LONGEST_BYTES, texts_at_hand


@pytest.fixture
def few_files(monkeypatch, tmp_path):
    """A library of a few files, in place of Python's."""
    library = tmp_path / "lib"
    for name in ("json/decoder.py", "_json.py", "json/tests/a.py", "site-packages/b.py", "c.txt"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(f"name = '{name}'\n", encoding="utf-8")
    (library / "latin.py").write_bytes(b"name = '\xe9'\n")
    (library / "empty.py").write_text("\n")
    (library / "table.py").write_text("x = 1\n" * LONGEST_BYTES)
    include = tmp_path / "include"
    include.mkdir()
    (include / "pyport.h").write_text("int x;\n")
    monkeypatch.setattr(
        sysconfig, "get_paths", lambda: {"stdlib": str(library), "include": str(include)}
    )
    monkeypatch.setattr(at_hand, "_OURS", ())


def test_code_is_taken_and_what_is_none_is_not(few_files):
    texts = [text for split in texts_at_hand().values() for text in split]
    assert sorted((text.language, text.text) for text in texts) == [
        ("c", "int x;\n"),
        ("python", "name = '_json.py'\n"),
        ("python", "name = 'json/decoder.py'\n"),
    ]


def test_a_module_and_its_twin_are_one_project(few_files):
    places = {project for project, path in at_hand._files() if "json" in str(path)}
    assert places == {"json"}


def test_every_split_has_python_and_the_same_twice():
    found = texts_at_hand()
    assert found == texts_at_hand()
    for split in ("train", "validation", "test"):
        assert any(text.language == "python" for text in found[split])
    assert pathlib.Path(at_hand.__file__).read_text(encoding="utf-8") in {
        text.text for texts in found.values() for text in texts
    }


def test_most_of_what_others_wrote_is_for_training(monkeypatch):
    # Ours is one project, held out as a whole, and grows from release to release.
    monkeypatch.setattr(at_hand, "_OURS", ())
    size = {
        split: sum(len(text.text) for text in texts) for split, texts in texts_at_hand().items()
    }
    assert size["train"] > 3 * (size["validation"] + size["test"]) > 0
