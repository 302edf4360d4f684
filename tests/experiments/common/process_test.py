import json
import os
import pathlib
import subprocess
import sys

import pytest

from experiments.common import process

PROGRAM = """
import json, os, sys
from experiments.common.process import HEAP_SETTINGS, keep_heap
print(os.getpid(), flush=True)
keep_heap()
print(json.dumps([os.getpid(), sys.argv, {n: os.environ.get(n) for n in HEAP_SETTINGS}]))
"""


def run(tmp_path, **environment):
    """Lines that PROGRAM prints, one more for each time it is started."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    clean = {k: v for k, v in os.environ.items() if k not in process.HEAP_SETTINGS}
    root = str(pathlib.Path(process.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), "an argument"],
        env={**clean, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    *starts, last = done.stdout.splitlines()
    return starts, json.loads(last)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc reads these settings")
def test_the_program_starts_again_in_the_same_process_with_the_settings(tmp_path):
    starts, (pid, argv, settings) = run(tmp_path)
    assert starts == [str(pid)] * 2
    assert argv[1:] == ["an argument"]
    assert settings == process.HEAP_SETTINGS


@pytest.mark.parametrize(
    "environment", [{process.KEEP_HEAP_VARIABLE: "0"}, {"MALLOC_ARENA_MAX": "4"}]
)
def test_the_environment_can_say_no(tmp_path, environment):
    starts, (_, _, settings) = run(tmp_path, **environment)
    assert len(starts) == 1
    assert settings == dict.fromkeys(process.HEAP_SETTINGS) | {
        name: value for name, value in environment.items() if name in settings
    }


def test_other_systems_are_left_alone(monkeypatch):
    for name in process.HEAP_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(process.KEEP_HEAP_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started again"))
    process.keep_heap()


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("3", "3")])
def test_lapack_takes_one_thread_unless_told_otherwise(monkeypatch, before, after):
    environment = {} if before is None else {process.LAPACK_THREADS_VARIABLE: before}
    monkeypatch.setattr(os, "environ", environment)
    process.keep_lapack_to_one_thread()
    assert environment == {process.LAPACK_THREADS_VARIABLE: after}


COMPILES = """
import jax
from experiments.common.process import keep_compiled
keep_compiled()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: jax.numpy.sin(x) @ x)(jax.numpy.ones((3, 3))).block_until_ready()
"""


@pytest.mark.parametrize(
    ("environment", "kept_in"),
    [
        ({"HOME": "home"}, "home/.cache/hrm_jax/compiled"),
        ({process.COMPILED_VARIABLE: "mine"}, "mine"),
        ({process.COMPILED_VARIABLE: ""}, None),
        ({process.COMPILED_VARIABLE: "mine", "JAX_COMPILATION_CACHE_DIR": "jax"}, "jax"),
    ],
)
def test_compiled_programs_are_kept_where_they_should_be(tmp_path, environment, kept_in):
    clean = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    places = {name: str(tmp_path / value) if value else "" for name, value in environment.items()}
    root = str(pathlib.Path(process.__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", COMPILES],
        env=clean | {"HOME": str(tmp_path / "nobody"), "PYTHONPATH": root} | places,
        check=True,
    )
    found = {path.parent for path in tmp_path.rglob("*-cache")}
    assert found == ({tmp_path / kept_in} if kept_in else set())
