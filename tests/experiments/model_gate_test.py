import dataclasses

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import model_gate
from hrm_jax.evaluation import gate
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


def test_it_ends_with_status_1_where_a_model_is_worse(tmp_path, monkeypatch, capsys):
    """Of forty problems ten are lost, or all solutions are less likely; or nothing is."""
    names = [f"task/{number}" for number in range(40)]
    before = gate.Measured({"model": "m"}, dict.fromkeys(names, True), dict.fromkeys(names, 0.3))
    fewer = dataclasses.replace(before, passed={name: name not in names[:10] for name in names})
    unlikely = dataclasses.replace(before, nats=dict.fromkeys(names, 0.4))
    file = tmp_path / "gate.json"
    gate.write(file, before)
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver((model_gate._RECORDED, str(file))):
        for now, status in ((before, 0), (fewer, 1), (unlikely, 1)):
            monkeypatch.setattr(model_gate, "_measure", lambda console, now=now: now)
            assert model_gate.main() == status
            assert capsys.readouterr().out.count("worse") == status
