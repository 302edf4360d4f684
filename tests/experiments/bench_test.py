"""The benchmarks' command."""

import pytest

from tests.experiments.conftest import Experiment


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ("--suite=solve", "--checkpoint=empty"),
            "error: expected a run in empty, found no config.json",
        ),
        (("--suite=llama", "--rows=1,x"), "--rows: expected numbers, such as 1,8, got 1,x"),
    ],
)
def test_what_cannot_be_measured_is_named(tmp_path, flags, told):
    (tmp_path / "empty").mkdir()
    found = Experiment(tmp_path, tmp_path, "experiments.bench").run(*flags)
    assert found.returncode == 2
    assert told in found.stderr
    assert "Traceback" not in found.stderr
