import pytest

from tests.experiments.conftest import Experiment


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "--recorded, --record: expected a file to compare with, or one to write"),
        (("--recorded=absent.json",), "absent.json"),
        (("--recorded=other.json",), "other.json: expected a recorded measurement"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_a_model_is_loaded(tmp_path, flags, told):
    (tmp_path / "other.json").write_text("{}")
    found = Experiment(tmp_path, tmp_path, "experiments.model_gate").run(*flags)
    assert told in found.stderr
    assert "Traceback" not in found.stderr
    assert found.returncode == 2
