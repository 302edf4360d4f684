"""A command that is forked is what it would be if it were started from nothing."""

import json
import signal
import subprocess
import sys

import pytest

from tests import commands

TELL = """
import json, os, signal, sys
print(json.dumps({
    "loaded": "jax" in sys.modules,
    "arguments": sys.argv[1:],
    "command": sys.orig_argv,
    "read": sys.stdin.read(),
    "folder": os.getcwd(),
    "path": sys.path[0],
    "variable": os.environ.get("COLUMNS"),
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
}))
print("told", file=sys.stderr)
sys.exit(3)
"""
forked = pytest.mark.skipif(not commands.FORKED, reason="Linux alone inherits processes")


@forked
def test_a_fork_sees_what_a_new_process_sees(tmp_path):
    options = {"text": "read me", "cwd": tmp_path, "environment": {"COLUMNS": "70"}}
    told = []
    for is_forked in (True, False):
        done = commands.run("-c", TELL, "--a=1", "b", forked=is_forked, **options)
        assert (done.returncode, done.stderr) == (3, "told\n")
        told.append(json.loads(done.stdout))
    assert [one.pop("loaded") for one in told] == [True, False]
    # A program of -c searches where it runs, which Python writes as nothing.
    assert [one.pop("path") for one in told] == [str(tmp_path), ""]
    assert told[0] == told[1]
    assert told[0]["arguments"] == ["--a=1", "b"]
    assert told[0]["read"] == "read me"
    assert told[0]["variable"] == "70"


@forked
def test_another_environment_of_jax_is_a_process_of_its_own():
    done = commands.run("-c", TELL, text="", environment={"JAX_ENABLE_X64": "1"})
    assert not json.loads(done.stdout)["loaded"]


def test_a_module_is_run_as_main():
    done = commands.run("json.tool", "--indent=1", text="[1]")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n 1\n]\n", "")


def test_an_error_ends_a_command_with_its_traceback():
    done = commands.run("-c", "raise ValueError('odd')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: odd\n")


def test_a_command_is_killed_by_its_process():
    waits = "import time; print(1, flush=True); time.sleep(100)"
    process = commands.start("-c", waits, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_as_many_devices_as_asked_for():
    done = commands.run("-c", "import jax; print(jax.device_count())", devices=3)
    assert done.stdout == "3\n", done.stderr


def test_the_interpreter_is_the_one_of_the_tests():
    done = commands.run("-c", "import sys; print(sys.executable)")
    assert done.stdout == f"{sys.executable}\n"
