"""What is asked of models goes to a process of the right model, and comes back as it is written."""

import asyncio
import json

import psutil
import pytest

pytest.importorskip("fastapi", reason="needs the extra studio")
from hrm_jax.studio.forms import Experiment
from hrm_jax.studio.thinking import Thinker, ThinkingError
from tests.hrm_jax.studio.app_test import client_of, message
from tests.hrm_jax.studio.conftest import PRESETS

AUTHOR = "tests.hrm_jax.studio.fake_author"


@pytest.fixture
def client(runs):
    experiment = Experiment(
        "fake", "none", lambda: PRESETS, author=AUTHOR, models=lambda: ["small"]
    )
    # Within the block all requests share the loop that the process belongs to.
    with client_of(runs, {"fake": experiment}) as found:
        found.get("/")
        yield found


def ask(client, **body):
    answer = client.post("/api/write", json={"experiment": "fake", "prompt": "x", **body})
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_process_stays_for_the_same_model_and_only_for_it(client, write_run):
    folder = write_run("a")
    for step in ("step_00000001", "step_00000020", "other", ".saving-step_00000021"):
        (folder / "checkpoints" / step).mkdir(parents=True)
    found = client.get("/api/checkpoints", params={"run": "a"}).json()
    assert found == {"checkpoints": ["step_00000001", "step_00000020"]}
    told = [json.loads(ask(client, **model)[-1]["text"]) for model in (
        {"name": "a"}, {"name": "a", "tests": "t"}, {"name": "a", "checkpoint": "step_00000001"},
        {"model": "small", "max_tokens": 3},
    )]  # fmt: skip
    first, second, third, fourth = told
    assert first["flags"] == second["flags"] == [f"--checkpoint={folder}"]
    assert first["pid"] == second["pid"] != third["pid"]
    assert second["tests"] == "t"
    assert third["flags"] == [f"--checkpoint={folder}/checkpoints/step_00000001"]
    assert (fourth["flags"], fourth["max_tokens"]) == (["--model=small"], 3)


def test_what_is_not_there_is_refused(client, write_run, tmp_path):
    folder = write_run("a")
    for body, said in (
        ({"model": "../../etc"}, "expected one that is here: small"),
        ({}, "expected one that is here"),
        ({"name": "a"}, "a has no checkpoint yet"),
        ({"name": "../a"}, "expected a name"),
        ({"experiment": "none", "model": "small"}, "expected one of fake"),
        ({"model": "small", "max_tokens": 0}, "greater than or equal to 1"),
        ({"model": "small", "prompt": ""}, "at least 1 character"),
    ):
        answer = client.post("/api/write", json={"experiment": "fake", "prompt": "x", **body})
        assert answer.status_code in (400, 404), body
        assert said in message(answer)
    (tmp_path / "elsewhere" / "step_00000001").mkdir(parents=True)
    (folder / "checkpoints").symlink_to(tmp_path / "elsewhere")
    answer = client.post("/api/write", json={"experiment": "fake", "prompt": "x", "name": "a"})
    assert "a has no checkpoint yet" in message(answer)


def test_a_process_that_ends_says_why(client):
    assert ask(client, model="small", prompt="die") == [
        {"done": True, "error": "error: the weights are damaged"}
    ]
    assert ask(client, model="small")[-1]["done"] is True


def test_who_goes_away_ends_the_process():
    thinker = Thinker()

    async def leave():
        answers = thinker.ask(AUTHOR, [], {"prompt": "forever"})
        pid = json.loads((await anext(answers))["text"])["pid"]
        assert psutil.pid_exists(pid)
        await answers.aclose()
        await thinker.close()
        for _ in range(100):
            if not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie":
                return True
            await asyncio.sleep(0.05)
        return False

    assert asyncio.run(leave())


def test_a_module_that_is_not_there():
    async def ask():
        thinker = Thinker()
        try:
            async for _ in thinker.ask("tests.hrm_jax.studio.no_such", [], {}):
                pass
        finally:
            await thinker.close()

    with pytest.raises(ThinkingError, match="No module named"):
        asyncio.run(ask())
