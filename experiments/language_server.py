"""Suggests code in editors that speak the Language Server Protocol, such as Neovim.

An editor starts `python -m experiments.language_server` and speaks with it over standard input and
output. What is suggested is written by a server that runs apart from it (`python -m
experiments.serve`) at `--server`, or by any other that answers llama.cpp's `/infill`. See
docs/editor.md for editors' configurations. Needs the extra `editor`, and not JAX.
"""

import logging
import pathlib

from absl import flags

from experiments.common import command
from hrm_jax.core import files
from hrm_jax.core.config import check

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "server", "http://127.0.0.1:8080", "root of the server that writes, without /v1"
)
flags.DEFINE_string("api_key_file", None, "file whose first line is the server's key")


def main() -> None:
    """Answers an editor until it ends the connection."""
    # The packages of the extra `editor`: where one is absent, it is named.
    from hrm_jax.editing.language_server import make_language_server
    from hrm_jax.editing.server import Server

    # Editors show what a language server writes to standard error as errors.
    logging.getLogger("pygls").setLevel(logging.ERROR)
    make_language_server(Server(FLAGS.server, _key())).start_io()


def _key() -> str | None:
    """Returns the server's key, or None where none is given.

    Raises:
      ConfigError: the file of it has none.
      TextError, OSError: it cannot be read.
    """
    if FLAGS.api_key_file is None:
        return None
    keys = files.read_entries(pathlib.Path(FLAGS.api_key_file))
    check(
        bool(keys),
        "--api_key_file",
        expected="a file with a key",
        got="none in it",
        remedy="write one of those in the file that the server was started with (--api_keys)",
    )
    return keys[0]


if __name__ == "__main__":
    command.run(main, extras="editor")
