"""Downloads: whole files only, a bounded wait, and errors that say why."""

import http.server
import logging
import threading
import time
import urllib.request

import pytest

from hrm_jax.data import downloads

CONTENT = bytes(range(256)) * 10_000
LENGTHS = {"/whole": f"{len(CONTENT)}", "/cut": f"{len(CONTENT) + 1}", "/odd": "abc", "/less": "-1"}
"""What the server says about the length of `CONTENT`."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves `CONTENT` at the keys of `LENGTHS`, fails at `/busy`, has nothing else."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.asked.append(self.path)
        status = {"/busy": 503}.get(self.path, 200 if self.path in LENGTHS else 404)
        body = CONTENT if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", LENGTHS.get(self.path, "0"))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", (0.0, 0.0))
    _Handler.asked.clear()


def test_a_file_is_downloaded_and_progress_is_told(address, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(downloads, "_PROGRESS_SECONDS", 0.0)
    path = tmp_path / "new" / "file.bin"
    with caplog.at_level(logging.INFO, "hrm_jax.data.downloads"):
        downloads.download(f"{address}/whole", path)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == f"downloading {address}/whole; waiting up to 20 s for a connection"
    assert told[-1] == "file.bin: 3 of 3 MB"


@pytest.mark.parametrize("path", ["/odd", "/less"])
def test_a_length_that_is_no_number_counts_as_none(address, tmp_path, path):
    downloads.download(address + path, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_download_that_breaks_off_leaves_nothing(address, tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(downloads.DownloadError, match=r"broke off.*; try again"):
        downloads.download(f"{address}/cut", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("path", "tries", "status"), [("/nothing", 1, 404), ("/busy", 3, 503)])
def test_a_refusal_is_final_and_a_failure_is_tried_again(address, tmp_path, path, tries, status):
    with pytest.raises(downloads.DownloadError, match=f"{path} .*: the server says {status}"):
        downloads.download(address + path, tmp_path / "file")
    assert _Handler.asked == [path] * tries


def test_no_server(tmp_path):
    # Port 1 of this machine: nothing listens there.
    with pytest.raises(downloads.DownloadError, match=r"no connection \(.*refused"):
        downloads.download("http://127.0.0.1:1/file", tmp_path / "file")


def test_an_address_of_no_known_kind(tmp_path):
    with pytest.raises(downloads.DownloadError, match="unknown url type"):
        downloads.download("gopher://127.0.0.1/file", tmp_path / "file")


def test_the_wait_for_a_connection_is_bounded(tmp_path, monkeypatch):
    released = threading.Event()
    # As where the look-up of a name does not answer, which no timeout of a socket ends.
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: released.wait(30))
    begun = time.monotonic()
    with pytest.raises(downloads.DownloadError, match=r"no connection \(no answer\)"):
        downloads.download("http://127.0.0.1/file", tmp_path / "file", connect_seconds=0.2)
    released.set()
    assert 0.2 <= time.monotonic() - begun < 10


def test_pauses_do_not_outlast_the_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", (60.0,))
    begun = time.monotonic()
    with pytest.raises(downloads.DownloadError):
        downloads.download("http://127.0.0.1:1/file", tmp_path / "file")
    assert time.monotonic() - begun < 10
