import os
import socket
import subprocess
import sys
import time

import pytest

pytest.importorskip("psutil", reason="needs the extra studio")

from hrm_jax.studio.states import RUN_VARIABLE, state_of, works_on


def process(**fields):
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started_seconds": time.time(),
        "state": "running",
        **fields,
    }


@pytest.fixture(scope="module")
def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def word(folder, **settings):
    return state_of(folder, **{"is_complete": False, **settings}).word


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_that_ended_says_how(write_run, state):
    folder = write_run("a", process=process(state=state, message="why", ended_seconds=5.0))
    found = state_of(folder, is_complete=False)
    assert (found.word, found.message, found.pid, found.ended_seconds) == (state, "why", None, 5.0)


def test_a_run_whose_process_lives_runs(write_run):
    found = state_of(write_run("a", process=process()), is_complete=False)
    assert (found.word, found.pid, found.is_alive) == ("running", os.getpid(), True)


def test_a_run_whose_process_is_gone_was_killed(write_run, dead_pid):
    assert word(write_run("a", process=process(pid=dead_pid))) == "killed"
    # Another process has the number now: it began later than the run.
    assert word(write_run("b", process=process(started_seconds=1.0))) == "killed"


def test_a_run_of_another_machine_is_believed(write_run):
    assert word(write_run("a", process=process(host="elsewhere", pid=2**30))) == "running"


def test_runs_of_older_code(write_run):
    assert word(write_run("a"), is_complete=True) == "finished"
    assert word(write_run("b"), is_complete=False) == "unknown"


def test_a_run_between_its_launch_and_its_first_step(write_run, dead_pid):
    now = time.time()
    assert word(write_run("a", job={"pid": os.getpid(), "launched_seconds": now})) == "starting"
    folder = write_run("b", job={"pid": dead_pid, "launched_seconds": now})
    (folder / "output.txt").write_text("hello\nerror: rate: expected 1\n")
    found = state_of(folder, is_complete=False)
    assert (found.word, found.message) == ("failed", "error: rate: expected 1")
    job = {"pid": dead_pid, "launched_seconds": now, "stopped": True}
    assert word(write_run("c", job=job)) == "stopped"


@pytest.mark.parametrize(
    "fields",
    [{"pid": -1}, {"pid": "1"}, {"pid": 10**30}, {"pid": None}, {"started_seconds": "x"},
     {"started_seconds": 1e300}, {"state": ["finished"], "pid": 0}],
)  # fmt: skip
def test_nonsense_in_the_file_is_no_living_process(write_run, fields):
    assert word(write_run("a", process=process(**fields))) == "killed"


def test_only_a_process_of_the_run_works_on_it(write_run, tmp_path):
    folder = write_run("a")
    assert not works_on(os.getpid(), folder)
    with open(folder / ".lock", "w"):
        assert works_on(os.getpid(), folder)
    code = "import sys, time; print(flush=True); time.sleep(30)"
    environment = os.environ | {RUN_VARIABLE: str(folder.resolve())}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=-1) as child:
        child.stdout.readline()
        assert works_on(child.pid, folder)
        assert not works_on(child.pid, tmp_path)
        child.kill()
