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


def damage(folder):
    (folder / "dataset_info.json").write_bytes(b"")


def test_a_recipe_lies_beside_its_corpus(made):
    wanted, folder, documents = made
    assert from_json(CorpusRecipe, (folder.parent / recipe.RECIPE).read_text()) == wanted
    assert [document.path for document in documents] == ["f0.py", "f1.py", "f2.py"]


def test_an_intact_corpus_is_found_as_it_is(made, tmp_path, caplog):
    _, folder, _ = made
    assert recipe.find_intact("mine", tmp_path / "data") == folder
    assert recipe.find_intact(folder) == folder
    assert not caplog.records
    with pytest.raises(FileNotFoundError, match="is not prepared"):
        recipe.find_intact("yours", tmp_path / "data")


@pytest.mark.parametrize("by_name", [True, False])
def test_a_damaged_corpus_is_named_and_made_again(made, tmp_path, caplog, by_name):
    _, folder, documents = made
    damage(folder)
    named = ("mine", tmp_path / "data") if by_name else (folder,)
    assert recipe.find_intact(*named) == folder
    assert list(prepared.read_documents(folder, "train")) == documents
    (record,) = caplog.records
    assert f"prepared data are damaged: {folder}" in record.getMessage()
    assert record.getMessage().endswith("it is made again now")


def test_a_corpus_whose_source_is_gone_stays_and_says_so(made, tmp_path):
    _, folder, _ = made
    damage(folder)
    shutil.rmtree(tmp_path / "source")
    with pytest.raises(storage.Damaged, match=r"but now that fails: .*source is no folder"):
        recipe.find_intact(folder)
    assert (folder / "features.json").exists()


@pytest.mark.parametrize("text", [None, "{", '{"name": "other", "corpus": "x"}'])
def test_a_corpus_without_its_recipe_says_how_it_is_made_again(made, text):
    _, folder, _ = made
    damage(folder)
    place = folder.parent / recipe.RECIPE
    place.unlink() if text is None else place.write_text(text)
    with pytest.raises(storage.Damaged, match="make_corpus, with the flags of before, makes it"):
        recipe.find_intact(folder)
