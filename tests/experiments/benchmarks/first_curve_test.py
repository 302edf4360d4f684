import io
import json
import os
import shutil
import sys

import pytest
from rich.console import Console

pytest.importorskip("playwright", reason="needs playwright")
pytest.importorskip("psutil", reason="needs the extra studio")

from experiments.benchmarks import first_curve

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")

TENSORBOARD = """#!{python}
import http.server, json, pathlib, sys

flags = dict(flag.lstrip("-").split("=") for flag in sys.argv[1:])
(events,) = pathlib.Path(flags["logdir"]).glob("*/events.out.tfevents.*")
pathlib.Path(__file__).with_name("read").write_text(json.dumps(events.stat().st_size))


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<div class=series-view><canvas width=9 height=9></canvas>9</div>")


http.server.HTTPServer(("127.0.0.1", int(flags["port"])), Page).serve_forever()
"""


def test_a_line_of_each_tool_is_waited_for_and_absent_ones_are_left_out(tmp_path):
    stand_in = tmp_path / "tensorboard"
    stand_in.write_text(TENSORBOARD.format(python=sys.executable))
    stand_in.chmod(0o755)
    output = io.StringIO()
    console = Console(file=output, width=80)
    found = first_curve.run([str(stand_in), str(tmp_path / "trackio")], 1, console)
    assert found["turns"].keys() == {"studio", "tensorboard"}
    for (turn,) in found["turns"].values():
        assert 0 < turn["paint_seconds"] < turn["seconds"] < 100
    (studio,) = found["turns"]["studio"]
    assert 50_000 < studio["wire_bytes"] < 500_000
    assert "tensorboard" in output.getvalue()
    # It was given the run that the studio shows.
    assert json.loads((tmp_path / "read").read_text()) > 100_000


class NobodyListens:
    def goto(self, url):
        raise ConnectionError(url)


def test_a_tool_that_ends_is_told_of():
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(RuntimeError, match="tensorboard does not answer"):
        first_curve._until_line("tensorboard", command, 9, dict(os.environ), NobodyListens())
