import io

from rich.console import Console

from experiments.codegen import models
from hrm_jax.convert import catalogue


def test_every_model_has_a_row(monkeypatch, tmp_path):
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    shown = io.StringIO()
    assert models.run(Console(file=shown, width=80)) == 0
    text = shown.getvalue()
    assert all(name in text for name in catalogue.MODELS)
    assert str(tmp_path) in text.replace("\n", "")
