"""Servers as processes, with a model of no training that answers in milliseconds."""

import contextlib
import json
import pathlib
import subprocess
from collections.abc import Iterator

from hrm_jax.convert.language import LoadedLanguageModel, save_language_model
from hrm_jax.data.text.chat import ChatTemplate
from tests import commands
from tests.hrm_jax.convert.language_test import LLAMA, Llama, fresh

MODEL = "model"


def save(folder: pathlib.Path) -> None:
    """Writes the model into a folder; another one each time."""
    saved: LoadedLanguageModel = fresh(Llama(LLAMA), chat_template=ChatTemplate("{{ messages }}"))
    save_language_model(folder / MODEL, saved)


def start(folder: pathlib.Path, *flags: str) -> subprocess.Popen[str]:
    """Starts a server of the model in a folder."""
    return commands.start(
        "experiments.serve",
        *(f"--model={MODEL}", *flags, "--rows=2", "--context=128"),
        cwd=folder,
        # From nothing, as users start it: it ends while threads are at work.
        forked=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def running(folder: pathlib.Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yields a server's process, and its address once it says it; kills it in the end."""
    process = start(folder, *flags)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)["url"]
    finally:
        process.kill()
        process.communicate()
