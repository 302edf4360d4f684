"""The program that makes corpora, run as a user runs it, on folders and files of this machine."""

import io
import json
import pathlib
import subprocess
import tarfile

import pytest

from hrm_jax.data.corpus import packages, prepared
from tests import commands

ROOT = pathlib.Path(__file__).parents[2]
CODE = 'def greet_{0}(name):\n    print(f"hello {0}, {{name}}!")\n'
PROBLEM = "Write a function that says hello to everybody by name, and to birds by their songs."


def make(data: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run("experiments.make_corpus", f"--out={data}", *arguments)


@pytest.fixture
def shelf(tmp_path):
    for number in range(3):
        folder = tmp_path / "shelf" / f"project{number}"
        folder.mkdir(parents=True)
        (folder / "a.py").write_text(CODE.format(number))
        (folder / "package.json").write_text('{\n  "license": "MIT"\n}\n')
    (tmp_path / "shelf" / "project0" / "planted.py").write_text(f"# {PROBLEM}\n")
    (tmp_path / "mbpp.jsonl").write_text(json.dumps({"text": PROBLEM}) + "\n")
    return tmp_path / "shelf"


def test_a_folder_becomes_a_corpus_once(shelf, tmp_path):
    flags = (f"--corpus={shelf}", "--languages=python", f"--benchmarks={tmp_path / 'mbpp.jsonl'}")
    done = make(tmp_path / "data", *flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "shelf, made in" in done.stdout
    assert "3 projects, clear of HumanEval, mbpp.jsonl; in" in done.stdout
    report = prepared.read_report(prepared.find("shelf", tmp_path / "data"))
    assert sum(counts["python"].files for counts in report.kept.values()) == 3
    assert report.removed["benchmark"].files == 1

    (shelf / "project0" / "new.py").write_text(CODE.format(9))
    again = make(tmp_path / "data", f"--corpus={shelf}")
    assert "shelf, made before; --remake makes it again" in again.stdout
    damaged = prepared.find("shelf", tmp_path / "data") / "dataset_info.json"
    damaged.write_bytes(b"")
    remade = make(tmp_path / "data", f"--corpus={shelf}", "--nohuman_eval")
    kept = damaged.parent.with_name("1.0.0-damaged-1")
    told = f"making it again, and keeping the old as {kept}: prepared data are damaged: "
    assert f"{told}{damaged.parent}" in remade.stdout
    assert (kept / damaged.name).read_bytes() == b""
    assert "clear of no benchmark" in remade.stdout
    assert "MBPP is not among them" in remade.stdout
    report = prepared.read_report(prepared.find("shelf", tmp_path / "data"))
    assert sum(counts["python"].files for counts in report.kept.values()) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corpus=nothing/here"], "is no folder, and cannot be cloned"),
        (["--languages=klingon"], "languages[0]: expected one of 'python', "),
    ],
)
def test_bad_flags_are_explained(shelf, tmp_path, arguments, message):
    done = make(tmp_path / "data", f"--corpus={shelf}", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_manifest_is_pinned_and_made(tmp_path):
    text = CODE.format(1).encode()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("p/a.py")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    downloads = tmp_path / "data" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "npm-a-1.archive").write_bytes(content.getvalue())  # as if downloaded before
    path = tmp_path / "mine.json"
    stated = {"registry": "npm", "name": "a", "version": "1", "licence": "MIT"}
    path.write_text(json.dumps({"name": "mine", "packages": [stated]}))

    done = make(tmp_path / "data", f"--corpus={path}", "--pin")
    assert "npm package a 1: MIT in the manifest, None in itself" in done.stdout
    assert len(packages.read_manifest(path).packages[0].sha256) == 64
    done = make(tmp_path / "data", f"--corpus={path}")
    assert "mine, made in" in done.stdout
    documents = list(prepared.read_documents(prepared.find("mine", tmp_path / "data"), "train"))
    assert [(d.project, d.path, d.text) for d in documents] == [("npm/a", "a.py", text.decode())]

    (downloads / "npm-a-1.archive").write_bytes(b"damaged")
    damaged = make(tmp_path / "data", f"--corpus={path}", "--remake")
    assert damaged.returncode == 2
    assert "but the manifest says" in damaged.stderr
