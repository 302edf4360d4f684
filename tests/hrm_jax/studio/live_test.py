"""What pages are told first."""

import asyncio
import json
import os
import time

import pytest

from hrm_jax.studio import live
from hrm_jax.studio.folders import Runs
from hrm_jax.studio.jobs import Jobs
from hrm_jax.studio.protection import Pass
from hrm_jax.studio.studio import Studio


def test_a_folder_that_cannot_be_read_is_told_of_and_the_page_is_drawn(tmp_path):
    (tmp_path / "file").touch()

    async def first_events():
        events = Studio(Runs(tmp_path / "file"), {}, Pass("c", "v")).live.events()
        told = [await anext(events) for _ in range(2)]
        await events.aclose()
        return told

    everything, trouble = asyncio.run(first_events())
    assert everything.startswith("event: all\n")
    assert json.loads(everything.partition("data: ")[2])["runs"] == {}
    assert trouble.startswith("event: trouble\n")
    assert "expected a folder that can be read" in trouble


@pytest.mark.parametrize("is_own", [False, True])
def test_runs_that_are_only_read_keep_nobody_waiting(tmp_path, experiments, monkeypatch, is_own):
    monkeypatch.setattr(Jobs, "_begin", lambda *_: None)  # no process is started
    runs = Runs(tmp_path / "runs", {"(copies)": tmp_path / "copies"})
    busy = (runs.root if is_own else tmp_path / "copies") / "busy"
    busy.mkdir(parents=True)
    (busy / "metrics.jsonl").touch()
    running = {"state": "running", "pid": os.getpid(), "started_seconds": time.time()}
    (busy / "process.json").write_text(json.dumps(running))

    async def look():
        found = Studio(runs, experiments, Pass("c", "v"))
        found.jobs.start("a", "fake", "plain", {}, queued=True)
        await found.live.look()
        if found.live._advancing is not None:
            await found.live._advancing
        return list(found.jobs.queue())

    assert asyncio.run(look()) == (["a"] if is_own else [])


def test_a_page_that_reads_nothing_is_sent_away_and_keeps_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "_MOST_EVENTS", 3)

    async def told():
        source = Studio(Runs(tmp_path), {}, Pass("c", "v")).live
        idle = source.events()
        await anext(idle)
        for number in range(10):
            source._tell("trouble", {"message": str(number)})
        (queue,) = source._listeners
        assert queue.qsize() <= 4
        assert [event async for event in idle] == []
        assert not source._listeners

    asyncio.run(told())
