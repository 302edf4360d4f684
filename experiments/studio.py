"""A page that starts trainings, watches them, and shows how a model thinks.

    python -m experiments.studio                       # opens the browser
    python -m experiments.studio --runs=FOLDER         # of other runs than those in runs/
    python -m experiments.studio --port=0 --no_browser # prints one line of JSON with the url

Runs that a shell has started appear by themselves. A run that the page has started goes on when
page and studio end; a studio that is started again finds it. See docs/studio.md. Needs the extra
`studio`.
"""

import importlib
import importlib.resources
import json
import pathlib
import secrets
import signal
import webbrowser
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from absl import flags

from experiments.common import command, listening
from hrm_jax.core import files
from hrm_jax.core.config import check

if TYPE_CHECKING:  # of the extra `studio`, which is named where it is absent
    from hrm_jax.studio.forms import Experiment

FLAGS = flags.FLAGS
EXAMPLE = "(example)"
"""Name of the finished run that comes with the package; the page knows it."""

flags.DEFINE_string("runs", "runs", "folder of the runs; need not exist yet")
flags.DEFINE_multi_string(
    "beside",
    [],
    "folder that is shown beside --runs and only read: runs of ours, TensorBoard's event folders, "
    "CSV files of metrics. May be given again",
)
flags.DEFINE_string("host", listening.LOCAL, "address to listen at; others need --token_file")
flags.DEFINE_integer(
    "port",
    8265,
    "port to listen at; 0 for any that is free",
    lower_bound=0,
    upper_bound=listening.MOST_PORT,
)
flags.DEFINE_bool("no_browser", False, "do not open the page, only print where it is")
flags.DEFINE_string(
    "token_file", None, "file of tokens, one a line; the page asks for one before it shows anything"
)
flags.DEFINE_multi_string(
    "allow_host", [], "name by which browsers call this machine, besides localhost"
)


def main() -> int:
    """Serves the page until it is told to end; returns the exit code."""
    import uvicorn

    from hrm_jax.serving.protection import LOCAL_HOSTS, digests
    from hrm_jax.studio.app import make_app
    from hrm_jax.studio.folders import Runs
    from hrm_jax.studio.protection import Pass
    from hrm_jax.studio.studio import Studio

    tokens = digests(_tokens())
    socket = listening.listen(FLAGS.host, FLAGS.port)
    socket.listen()  # now, so that who reads the url below is not refused
    port = socket.getsockname()[1]
    needed = Pass(f"studio_{port}", secrets.token_urlsafe(32), tokens)
    runs = Runs(pathlib.Path(FLAGS.runs).absolute(), {EXAMPLE: _shipped_run(), **_beside()})
    studio = Studio(runs, _experiments(), needed)
    hosts = {*LOCAL_HOSTS, *FLAGS.allow_host, *([] if FLAGS.host == "0.0.0.0" else [FLAGS.host])}
    config = uvicorn.Config(
        make_app(studio, tuple(sorted(hosts)), _docs()),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    url = listening.url_of(FLAGS.host, port)
    print(json.dumps({"url": url}), flush=True)
    if not FLAGS.no_browser:
        webbrowser.open(url)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn has handlers of its own, then raises

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            studio.live.end()  # pages listen for as long as they are told things
            super().handle_exit(sig, frame)

    Server(config).run(sockets=[socket])
    return 0


def _tokens() -> list[str]:
    """Returns what a person may type; none where the page is for this machine alone.

    Raises:
      ConfigError: the address is not this machine's own, and there is no token.
      TextError, OSError: the file cannot be read.
    """
    tokens = [] if FLAGS.token_file is None else files.read_entries(pathlib.Path(FLAGS.token_file))
    is_local = FLAGS.host in (listening.LOCAL, "localhost", "::1")
    check(
        bool(tokens) or (is_local and FLAGS.token_file is None),
        "--token_file",
        expected="a file with a token a line, as others could start programs here",
        got=FLAGS.token_file,
        remedy="write one, such as the output of `openssl rand -hex 32`",
    )
    return tokens


def _beside() -> dict[str, pathlib.Path]:
    """Returns the folders of `--beside` by the names that the page has for them.

    Raises:
      ConfigError: one is not there.
    """
    found: dict[str, pathlib.Path] = {}
    for text in FLAGS.beside:
        folder = pathlib.Path(text).absolute()
        check(folder.is_dir(), "--beside", expected="a folder", got=text, remedy="name one that is")
        number = 2
        name = folder.name or "root"
        while f"({name})" in found or f"({name})" == EXAMPLE:
            name = f"{folder.name}-{number}"
            number += 1
        found[f"({name})"] = folder
    return found


def _docs() -> pathlib.Path | None:
    """Returns the folder of the documentation; None where the wheel alone is installed."""
    folder = pathlib.Path(__file__).parents[1] / "docs"
    return folder if (folder / "studio.md").is_file() else None


def _shipped_run() -> pathlib.Path:
    return pathlib.Path(str(importlib.resources.files("experiments") / "shipped" / "run"))


def _experiments() -> "dict[str, Experiment]":
    """Returns what the page can start; nothing of them is imported yet, as they import JAX."""
    from hrm_jax.studio.forms import Experiment

    sudoku = Experiment(
        "sudoku",
        "experiments.sudoku",
        lambda: _presets("experiments.sudoku.presets"),
        thinker="experiments.sudoku.thinker",
    )
    code = Experiment(
        "code",
        "experiments.codegen",
        lambda: _presets("experiments.codegen.presets"),
        author="experiments.codegen.author",
        models=_models_here,
    )
    relations = Experiment(
        "relations",
        "experiments.relations",
        lambda: _presets("experiments.relations.presets"),
    )
    return {one.name: one for one in (sudoku, code, relations)}


def _presets(module: str) -> Mapping[str, Any]:
    return importlib.import_module(module).PRESETS


def _models_here() -> list[str]:
    """Returns the names of the published models of code that are there."""
    from hrm_jax.convert import catalogue

    return [name for name in catalogue.MODELS if catalogue.find(name)]


if __name__ == "__main__":
    command.run(main, extras="studio")
