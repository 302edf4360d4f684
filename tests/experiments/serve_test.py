"""The server as a process: it says where it is, loads anew, and ends in order."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import threading

import httpx
import pytest

from tests.experiments.servers import MODEL, running, save, start


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    one = tmp_path_factory.mktemp("serve")
    save(one)
    return one


@contextlib.contextmanager
def serving(folder: pathlib.Path, *flags: str):
    """The process and a client, once it says where it is."""
    with (
        running(folder, "--port=0", *flags) as (process, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield process, client


def test_it_answers_loads_anew_and_ends_when_all_is_written(folder):
    with serving(folder) as (process, client):
        assert client.get("/health").json() == {"status": "ok"}
        asked = {"prompt": "abc", "max_tokens": 20}
        first = client.post("/v1/completions", json=asked).json()
        assert first["model"] == MODEL
        os.kill(process.pid, signal.SIGHUP)
        for _ in range(20):
            again = client.post("/v1/completions", json=asked).json()
            assert again["choices"] == first["choices"]
        found = {}

        def ask():
            with client.stream("POST", "/completion", json={"prompt": "a", "stream": True}) as one:
                begun.set()
                found["text"] = one.read().decode()

        begun = threading.Event()
        thread = threading.Thread(target=ask)
        thread.start()
        begun.wait(60)
        os.kill(process.pid, signal.SIGTERM)
        thread.join()
        assert json.loads(found["text"].strip().split("\n\n")[-1].removeprefix("data: "))["stop"]
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_keys_come_from_a_file(folder):
    (folder / "keys").write_text("# for tests\nsecret\n")
    with serving(folder, "--api_keys=keys", "--nowarm") as (_, client):
        assert client.get("/v1/models").status_code == 401
        key = {"Authorization": "Bearer secret"}
        assert client.get("/v1/models", headers=key).status_code == 200


def test_what_cannot_be_served_is_refused(folder, tmp_path):
    (folder / "none").write_text("# nothing\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refusals = [
            (start(folder, f"--port={port}"), "--port: expected one that is free at 127.0.0.1"),
            (
                start(folder, "--port=0", "--api_keys=none"),
                "--api_keys: expected a file with a key",
            ),
            (start(folder, "--port=0", "--model=absent"), "absent"),
            (
                start(folder, "--port=0", "--model_devices=99"),
                "model_devices: expected at most 1, the devices that JAX finds, got 99; choose "
                "fewer",
            ),
        ]
        for process, told in refusals:
            out, errors = process.communicate(timeout=120)
            assert process.returncode == 2, errors
            assert out == ""
            assert told in errors
            assert "Traceback" not in errors
