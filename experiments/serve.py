"""Serves a language model: `python -m experiments.serve --model=qwen2.5-coder-0.5b`.

Programs, editors and other clients ask in OpenAI's protocol (`/v1/completions`,
`/v1/chat/completions`, `/v1/models`) or llama.cpp's (`/completion`, `/infill`, `/tokenize`). Code
can be verified before it is shown: a request with `"verify": {"doctests": true}` or `{"tests":
TEXT}` is answered by what has passed, or says what failed. See docs/serving.md.

When the model can answer, one line of JSON on standard output says where: its `url`. SIGTERM ends
the server after the answers that are being written; SIGHUP loads the model's files anew, while
requests are answered by those loaded before. Needs the extra `serve`.
"""

import json
import pathlib
import signal
from typing import TYPE_CHECKING

from absl import flags

from experiments.common import command, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

from experiments.codegen import judging
from experiments.common import language_model
from experiments.common.listening import LOCAL, MOST_PORT, listen, url_of
from hrm_jax.core import files
from hrm_jax.core.config import check
from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.inference.text.buckets import power_of_two
from hrm_jax.inference.text.requests import Request

if TYPE_CHECKING:  # of the extra `serve`, which is named where it is absent
    from hrm_jax.serving.engine import Engine
    from hrm_jax.serving.loading import Loading
    from hrm_jax.serving.protection import Protection
    from hrm_jax.serving.service import Service

FLAGS = flags.FLAGS
_USUAL_TOKENS = 600
"""Of prompts whose programs are compiled at the start; those of longer ones when they come."""

flags.DEFINE_string("host", LOCAL, "address to listen at; 0.0.0.0 for those of all networks")
flags.DEFINE_integer(
    "port", 8080, "port to listen at; 0 for any that is free", lower_bound=0, upper_bound=MOST_PORT
)
flags.DEFINE_integer(
    "rows", 8, "texts written at once, rounded up to a power of two", lower_bound=1, upper_bound=256
)
flags.DEFINE_integer(
    "context",
    4096,
    "tokens of a text, prompt included; at most what the model was trained on",
    lower_bound=128,
)
flags.DEFINE_integer(
    "most_waiting", 64, "texts that wait for a row; more are refused with status 429", lower_bound=0
)
flags.DEFINE_float(
    "most_seconds",
    600.0,
    "time of a text, waiting included, after which it ends where it is",
    lower_bound=1.0,
)
flags.DEFINE_string(
    "api_keys", None, "file of keys, one a line; clients send one as Authorization: Bearer KEY"
)
flags.DEFINE_multi_string(
    "allow_host", [], "name by which clients call this server, besides localhost; * for any"
)
flags.DEFINE_multi_string(
    "allow_origin", [], "web page that may ask, such as https://vscode.dev. May be given again"
)
flags.DEFINE_float(
    "drain_seconds", 30.0, "time for answers that are being written when it ends", lower_bound=0
)
flags.DEFINE_bool("warm", True, "compile the usual programs before the first request")


def main() -> int:
    """Serves until it is told to end; returns the exit code."""
    # The packages of the extra `serve`: where one is absent, it is named before a model is loaded.
    import uvicorn

    from hrm_jax.serving.app import make_app, protected
    from hrm_jax.serving.loading import Loading

    process.keep_compiled()
    protection = _protection()
    app = make_app()
    # Bound before the model is loaded: a port that is taken is told at once.
    listening = listen(FLAGS.host, FLAGS.port)
    config = uvicorn.Config(
        protected(app, protection, FLAGS.allow_origin),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(FLAGS.drain_seconds)),
    )
    server = uvicorn.Server(config)
    url = url_of(FLAGS.host, listening.getsockname()[1])

    def tell() -> None:
        # What programs read to find the server.
        print(json.dumps({"url": url}), flush=True)

    def end() -> None:
        server.should_exit = True

    loading = Loading(app, _service, ready=tell, failed=end, most_seconds=FLAGS.most_seconds)
    _handle_signals(loading)
    loading.start()
    server.run(sockets=[listening])
    loading.finish()
    return 0


def _protection() -> "Protection":
    """Returns who may ask, as the flags say.

    Raises:
      ConfigError: the file of keys has none.
      TextError, OSError: it cannot be read.
    """
    from hrm_jax.serving.protection import LOCAL_HOSTS, Protection, digests

    # 0.0.0.0 is every address and no name that a client calls.
    hosts = {*LOCAL_HOSTS, *FLAGS.allow_host, *([] if FLAGS.host == "0.0.0.0" else [FLAGS.host])}
    keys: list[str] = []
    if FLAGS.api_keys is not None:
        keys = files.read_entries(pathlib.Path(FLAGS.api_keys))
        check(
            bool(keys),
            "--api_keys",
            expected="a file with a key a line",
            got="none in it",
            remedy="write one, such as the output of `openssl rand -hex 32`",
        )
    return Protection(
        hosts=tuple(sorted(hosts)),
        key_digests=digests(keys),
        # Beyond the texts that may wait there is room for questions that need none.
        most_at_once=4 * (FLAGS.rows + FLAGS.most_waiting) + 64,
    )


def _handle_signals(loading: "Loading") -> None:
    """Makes SIGHUP load the model anew, and SIGTERM end the server with exit code 0."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: loading.start())
    # uvicorn ends in order by handlers of its own, and raises the signal once more after that.
    signal.signal(signal.SIGTERM, lambda *_: None)


def _service() -> "Service":
    """Returns a service whose usual programs are compiled."""
    from hrm_jax.serving.engine import Engine
    from hrm_jax.serving.service import Service

    judge: Judge | str
    try:
        judge = judging.make_judge("python")
    # Without a sandbox the server still writes; requests to verify are told why it cannot.
    except SandboxUnavailable as error:
        judge = str(error)
    loaded = language_model.load_model()
    rows = power_of_two(FLAGS.rows)
    context = min(FLAGS.context, language_model.max_length(loaded.model))
    writer = language_model.make_writer(loaded, max_length=context, batch_size=rows)
    engine = Engine(
        writer, rows=rows, most_waiting=FLAGS.most_waiting, most_seconds=FLAGS.most_seconds
    )
    if FLAGS.warm:
        engine.prepare()
    engine.start()
    if FLAGS.warm:
        _read_once(engine, context)
    name = FLAGS.model or str(loaded.origin)
    return Service(loaded, pathlib.PurePath(name).name, engine, judge, FLAGS.allow_packages)


def _read_once(engine: "Engine", context: int) -> None:
    """Compiles what reads prompts of usual lengths, and what begins a text."""
    tokens = engine.writer.tokenizer.encode("x = 1\n")
    for length in engine.writer.reader.usual_lengths(min(_USUAL_TOKENS, context - 16)):
        prompt = Prompt("", tokens=tuple((tokens * length)[:length]), ends_at_token=True)
        list(engine.write([Request(prompt, max_tokens=1)]))


if __name__ == "__main__":
    command.run(main, extras="codegen,foundation,serve")
