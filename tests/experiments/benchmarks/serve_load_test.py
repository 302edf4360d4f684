"""The serve_load suite against a small model's server."""

import dataclasses
import os

import pytest
from rich.console import Console

from experiments.benchmarks import serve_load
from experiments.benchmarks.serve_load import Options
from experiments.benchmarks.serving import LoadError
from hrm_jax.convert.language import save_language_model
from tests.hrm_jax.convert.language_test import LLAMA, Llama, fresh

OPTIONS = Options(
    "model", clients=6, minutes=0.1, rows=2, tokens=12, flags=("--context=128", "--nowarm")
)


def test_no_text_is_wrong_and_nothing_is_held(tmp_path):
    save_language_model(tmp_path / "model", fresh(Llama(LLAMA)))
    options = dataclasses.replace(OPTIONS, model=str(tmp_path / "model"))
    console = Console(width=80, record=True, quiet=True)
    figures = serve_load.run(options, console)
    assert serve_load.is_right(figures), figures
    assert figures["whole"] > 5
    assert figures["left"] > 0
    assert figures["malformed"] > 0
    assert figures["first_token_seconds_p99"] >= figures["first_token_seconds_median"] > 0


def test_memory_is_in_pages_of_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGESIZE": 1}.get)
    pages = serve_load._resident_bytes(os.getpid())
    monkeypatch.setattr(os, "sysconf", {"SC_PAGESIZE": 1 << 20}.get)
    # About as many pages, as this process may have got others in between.
    assert serve_load._resident_bytes(os.getpid()) / pages == pytest.approx(1 << 20, rel=0.1)


def test_what_is_wrong_is_found():
    tally = serve_load.Tally(whole=3, wrong=1, tokens=60, first_seconds=[0.5, 1.5, 1.0])
    figures = serve_load._figures(tally, [1 << 20, 3 << 20], OPTIONS)
    assert not serve_load.is_right(figures)
    assert figures["tokens_per_second"] == 10
    assert figures["first_token_seconds_median"] == 1
    assert (figures["memory_mb_begin"], figures["memory_mb_end"]) == (1, 3)


def test_a_server_that_does_not_start_is_told():
    with pytest.raises(LoadError, match="did not start"):
        serve_load.run(dataclasses.replace(OPTIONS, model="absent.gguf"), Console(quiet=True))
