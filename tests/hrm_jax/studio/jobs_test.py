import json
import os
import signal
import time

import pytest

pytest.importorskip("psutil", reason="needs the extra studio")

import psutil

from hrm_jax.core.errors import UserError
from hrm_jax.studio.folders import UnknownRun
from hrm_jax.studio.forms import FormError
from hrm_jax.studio.jobs import JobError, Jobs
from hrm_jax.studio.states import state_of
from tests.experiments.conftest import ROOT


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def make_jobs(runs, experiments):
    """A function that returns what a studio for the folder has; its processes end with the test."""
    made = []

    def make():
        made.append(Jobs(runs, experiments))
        return made[-1]

    yield make
    for child in (child for jobs in made for child in jobs._children):
        child.kill()
        child.wait()


@pytest.fixture
def jobs(make_jobs):
    return make_jobs()


def state(runs, name):
    return state_of(runs.root / name, is_complete=False)


def wait(runs, name, word):
    until = time.monotonic() + 20
    while state(runs, name).word != word:
        assert time.monotonic() < until, (state(runs, name), word)
        time.sleep(0.02)


def start(jobs, name, texts=None, *, preset="plain", queued=False):
    jobs.start(name, "fake", preset, texts or {}, queued=queued)


def test_a_run_is_started_stopped_resumed_killed_and_deleted(jobs, runs, make_jobs):
    start(jobs, "group/a", {"rate": "0.25"})
    assert state(runs, "group/a").word in ("starting", "running")
    wait(runs, "group/a", "running")
    output = (runs.root / "group/a/output.txt").read_text()
    assert json.loads(output.removeprefix("begins ")) == {
        "preset": "plain", "config.rate": "0.25", "run": str(runs.root / "group/a"),
    }  # fmt: skip
    with pytest.raises(JobError, match="stop it before"):
        jobs.delete("group/a")
    with pytest.raises(JobError, match="runs; stop it to take it up anew"):
        jobs.resume("group/a", "fake")
    # Another studio, which did not start it, finds and stops it.
    make_jobs().stop("group/a")
    wait(runs, "group/a", "stopped")
    jobs.resume("group/a", "fake")
    wait(runs, "group/a", "running")
    os.kill(state(runs, "group/a").pid, signal.SIGKILL)
    wait(runs, "group/a", "killed")
    binned = jobs.delete("group/a")
    assert runs.names() == []
    assert make_jobs().restore(binned) == "group/a"
    assert runs.names() == ["group/a"]


def test_a_run_that_cannot_begin_says_why(jobs, runs):
    start(jobs, "a", preset="fast")
    wait(runs, "a", "failed")
    assert state(runs, "a").message == "error: rate: expected patience"


def test_one_that_waits_begins_when_no_other_runs(jobs, runs, make_jobs):
    start(jobs, "first", queued=True)
    start(jobs, "second", queued=True)
    other = make_jobs()
    assert list(other.queue()) == ["first", "second"]
    assert other.advance() == ("first", [])
    # The other one has not seen it start, and does not start a second beside it.
    assert jobs.advance() == (None, [])
    assert list(jobs.queue()) == ["second"]
    jobs.stop("second")
    assert jobs.queue() == {}
    assert not (runs.root / "second").exists()


def test_a_run_of_another_machine_keeps_nobody_waiting(jobs, runs, write_run):
    write_run("elsewhere", process={"state": "running", "host": "gone", "pid": 7})
    start(jobs, "a", queued=True)
    assert jobs.advance() == ("a", [])
    for refused in (jobs.delete, lambda name: jobs.resume(name, "fake")):
        with pytest.raises(JobError, match=r"runs on gone; if it .* remove process\.json"):
            refused("elsewhere")


def test_a_damaged_entry_of_the_queue_is_dropped(jobs, runs):
    start(jobs, "good", queued=True)
    folder = runs.root / ".studio" / "queue"
    for number, content in enumerate(["{", "{}", '{"run": "../x", "experiment": "fake"}']):
        (folder / f"0{number}.json").write_text(content)
    started, dropped = jobs.advance()
    assert started == "good"
    assert len(dropped) == 3
    assert "../x has left the queue: '../x': expected a name" in dropped[2]
    assert jobs.queue() == {}
    assert runs.names() == ["good"]


@pytest.mark.parametrize(
    ("name", "texts", "error"),
    [("../a", {}, UnknownRun), ("there", {}, JobError), ("new", {"rate": "2"}, FormError)],
)
def test_what_is_refused_leaves_nothing(jobs, runs, write_run, name, texts, error):
    write_run("there")
    with pytest.raises(error):
        start(jobs, name, texts)
    assert runs.names() == ["there"]
    assert not (runs.root / "new").exists()


def test_a_process_that_is_not_of_the_run_is_left_alone(jobs, write_run):
    began = psutil.Process().create_time()
    fields = {"pid": os.getpid(), "started_seconds": began + 1, "state": "running"}
    write_run("hostile", process=fields)
    with pytest.raises(JobError, match="is not one that trains in its folder"):
        jobs.stop("hostile")


def test_a_run_that_is_of_no_experiment_is_not_resumed(jobs, write_run):
    write_run("a")
    with pytest.raises(JobError, match="of no experiment that is known"):
        jobs.resume("a", "")
    with pytest.raises(JobError, match="does not run here"):
        jobs.stop("a")


def test_nothing_is_written_through_links(jobs, write_run, tmp_path):
    folder = write_run("a")
    (tmp_path / "precious").write_text("mine")
    for name in ("output.txt", "job.json.tmp", "checkpoints"):
        (folder / name).symlink_to(tmp_path / "precious")
        with pytest.raises(JobError, match=f"{name} is a link"):
            jobs.resume("a", "fake")
        (folder / name).unlink()
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("name", ["a", "a/b", "a~b", "a~/~b", "a%7Eb", "100%/%2F"])
def test_a_run_comes_back_by_its_own_name(jobs, runs, write_run, name):
    write_run(name)
    binned = jobs.delete(name)
    assert runs.names() == []
    assert jobs.binned() == [binned]
    assert jobs.restore(binned) == name
    assert runs.names() == [name]


@pytest.mark.parametrize("binned", ["../../etc", "20260101-000000-..~x", "none", "a-b-c"])
def test_only_what_is_in_the_bin_comes_back(jobs, binned):
    with pytest.raises(UserError):
        jobs.restore(binned)
