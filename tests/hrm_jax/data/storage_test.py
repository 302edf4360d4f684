"""Where data lies, and a quiet TFDS."""

import pathlib

from absl import logging

from hrm_jax.data import storage


def test_data_dir_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(storage.DATA_DIR_VARIABLE, str(tmp_path))
    assert storage.default_data_dir() == tmp_path
    monkeypatch.delenv(storage.DATA_DIR_VARIABLE)
    assert storage.default_data_dir() == pathlib.Path.home() / ".cache" / "hrm_jax"


def test_tfds_is_quiet_for_a_while(capsys):
    before = logging.get_verbosity()
    with storage.quiet_tfds():
        print("chatter")
        assert logging.get_verbosity() == logging.ERROR
    print("word")
    assert logging.get_verbosity() == before
    assert capsys.readouterr().out == "word\n"
