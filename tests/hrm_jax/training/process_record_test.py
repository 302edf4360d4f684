import json
import os
import socket
import time

import pytest

from hrm_jax.training.process_record import recorded_process
from hrm_jax.training.run_files import PROCESS


def read(folder):
    return json.loads((folder / PROCESS).read_text())


def test_a_run_says_that_it_runs_and_that_it_is_finished(tmp_path):
    before = time.time()
    with recorded_process(tmp_path):
        found = read(tmp_path)
    assert (found["state"], found["pid"], found["version"]) == ("running", os.getpid(), 1)
    assert found["host"] == socket.gethostname()
    assert before <= found["started_seconds"] <= time.time()
    assert found["ended_seconds"] is None
    assert read(tmp_path)["state"] == "finished"
    assert read(tmp_path)["ended_seconds"] >= found["started_seconds"]


def test_a_stopped_run_says_why(tmp_path):
    with recorded_process(tmp_path) as record:
        record.stopped("stopped by SIGTERM after step 3")
    assert read(tmp_path)["state"] == "stopped"
    assert read(tmp_path)["message"] == "stopped by SIGTERM after step 3"


@pytest.mark.parametrize(
    ("error", "message"),
    [(ValueError("loss: NaN"), "loss: NaN"), (KeyboardInterrupt(), "Keyboard")],
)
def test_an_error_is_told_and_passed_on(tmp_path, error, message):
    with pytest.raises(type(error)), recorded_process(tmp_path):
        raise error
    assert read(tmp_path)["state"] == "failed"
    assert read(tmp_path)["message"].startswith(message)
