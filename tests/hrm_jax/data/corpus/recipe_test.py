"""Recipes: a damaged corpus is made again by its own, or says why it cannot be."""

import shutil

import pytest

from hrm_jax.core.config import from_json
from hrm_jax.data import storage
from hrm_jax.data.corpus import prepared, recipe
from hrm_jax.data.corpus.recipe import CorpusRecipe


@pytest.fixture
def made(tmp_path):
    """A corpus of one folder: its recipe, its own folder, and its documents."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"f{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n")
    (source / "f.sql").write_text("SELECT 1 FROM birds;\n")
    wanted = CorpusRecipe("mine", str(source), languages=("python",), any_licence=True)
    folder = recipe.make(wanted, tmp_path / "data")
    return wanted, folder, list(prepared.read_documents(folder, "train"))


NAMES = ["f0.py", "f1.py", "f2.py"]


def read_names(*corpus):
    def read(folder):
        return [document.path for document in prepared.read_documents(folder, "train")]

    return recipe.read_intact(read, *corpus)


def damage(folder):
    (folder / "dataset_info.json").write_bytes(b"")


def test_a_recipe_lies_beside_its_corpus(made):
    wanted, folder, documents = made
    assert from_json(CorpusRecipe, (folder.parent / recipe.RECIPE).read_text()) == wanted
    assert [document.path for document in documents] == NAMES


def test_an_intact_corpus_is_found_as_it_is(made, tmp_path, caplog):
    _, folder, _ = made
    assert read_names("mine", tmp_path / "data") == NAMES
    assert read_names(folder) == NAMES
    assert not caplog.records
    with pytest.raises(FileNotFoundError, match="is not prepared"):
        read_names("yours", tmp_path / "data")


@pytest.mark.parametrize("by_name", [True, False])
def test_a_damaged_corpus_is_named_and_made_again(made, tmp_path, caplog, by_name):
    _, folder, documents = made
    damage(folder)
    named = ("mine", tmp_path / "data") if by_name else (folder,)
    assert read_names(*named) == NAMES
    assert list(prepared.read_documents(folder, "train")) == documents
    (record,) = caplog.records
    assert f"prepared data are damaged: {folder}" in record.getMessage()
    kept = folder.with_name(f"{folder.name}-damaged-1")
    assert record.getMessage().endswith(f"it is made again now, and then kept as {kept}")
    assert (kept / "dataset_info.json").read_bytes() == b""
    assert list(kept.glob("*.array_record*"))
    damage(folder)
    assert read_names(*named) == NAMES
    assert sorted(path.name for path in folder.parent.glob("*-damaged-*")) == [
        f"{folder.name}-damaged-{number}" for number in (1, 2)
    ]


def test_a_corpus_whose_source_is_gone_stays_and_says_so(made, tmp_path):
    _, folder, _ = made
    damage(folder)
    shutil.rmtree(tmp_path / "source")
    with pytest.raises(storage.Damaged, match=r"but now that fails: .*source is no folder"):
        read_names(folder)
    assert (folder / "features.json").exists()


@pytest.mark.parametrize("text", [None, "{", '{"name": "other", "corpus": "x"}'])
def test_a_corpus_without_its_recipe_says_how_it_is_made_again(made, text):
    _, folder, _ = made
    damage(folder)
    place = folder.parent / recipe.RECIPE
    place.unlink() if text is None else place.write_text(text)
    with pytest.raises(storage.Damaged, match="make_corpus, with the flags of before, makes it"):
        read_names(folder)
