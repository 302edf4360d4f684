"""Toolchains: found where they are, named where they are not."""

import pathlib

import pytest

from hrm_jax.evaluation.judge.toolchains import (
    LANGUAGES,
    ToolchainMissing,
    find_toolchain,
)
from hrm_jax.evaluation.sandbox import processes
from hrm_jax.evaluation.sandbox.base import Job

VERSIONS = {"python": ("python", "--version"), "js": ("node", "--version")}
VERSIONS |= {"java": ("javac", "-version"), "rust": ("rustc", "--version")}
VERSIONS |= {"cpp": ("g++", "--version"), "c": ("gcc", "--version"), "go": ("go", "version")}
VERSIONS |= {"bash": ("bash", "--version")}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_found_runs_in_a_sandbox(sandbox, language):
    try:
        toolchain = find_toolchain(language)
    except ToolchainMissing as error:
        pytest.skip(str(error))
    name, option = VERSIONS[language]
    job = Job((toolchain.programs[name], option), mounts=toolchain.mounts)
    if language in ("java", "go"):
        job = Job(job.argv, limits_without_addresses(job), job.mounts)
    outcome = processes.run(sandbox, job)
    assert outcome.status == 0, outcome.stderr


def limits_without_addresses(job):
    return type(job.limits)(address_space=False)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainMissing, match=r"go: expected go in PATH, missing go; install it"):
        find_toolchain("go")
    with pytest.raises(ToolchainMissing, match="missing javac and java"):
        find_toolchain("java")
    assert find_toolchain("python").programs


def test_a_compiler_that_does_not_answer_is_told(tmp_path, monkeypatch):
    for name in ("rustc", "cc"):
        path = pathlib.Path(tmp_path, name)
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainMissing, match="--print sysroot` to answer"):
        find_toolchain("rust")
