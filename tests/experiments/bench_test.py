"""The benchmarks' command."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_a_folder_without_a_run_is_named(tmp_path):
    command = [sys.executable, "-m", "experiments.bench", "--suite=solve"]
    done = subprocess.run(
        [*command, f"--checkpoint={tmp_path}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"error: expected a run in {tmp_path}, found no config.json" in done.stderr
    assert "Traceback" not in done.stderr
