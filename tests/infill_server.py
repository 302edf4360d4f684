"""A server that answers `/infill` as a test wants, and notes what it was asked."""

import contextlib
import http.server
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

Reply = str | tuple[int, str] | list[str] | dict[str, Any]


def events(text: str) -> list[str]:
    """Returns the data of events, one for each character and a last one."""
    parts = [{"content": one, "stop": False} for one in text]
    return [json.dumps(part) for part in [*parts, {"content": "", "stop": True}]]


class InfillServer:
    """What a server was asked, and what it answers.

    Attributes:
      reply: returns the text for a request's body, or its refusal: a status and a message; or the
        data of events, as they are; or an object that is all of the answer.
      paths: those of all requests.
      asked: the bodies of all requests.
      keys: what each sent as Authorization.
      begun: set when a request has come.
      gone: set when a client has closed the connection of a request that is held.
      holds: whether answers are held back until their client has gone.
    """

    def __init__(self, reply: Callable[[dict[str, Any]], Reply]):
        self.reply = reply
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.begun = threading.Event()
        self.gone = threading.Event()
        self.holds = False

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        """Returns what answers requests."""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.paths.append(self.path)
                server.asked.append(body)
                server.keys.append(self.headers["Authorization"])
                server.begun.set()
                if server.holds:
                    self.hold()
                else:
                    self.answer(server.reply(body))

            def hold(self):
                readable, _, _ = select.select([self.connection], [], [], 20)
                if readable and not self.connection.recv(1, socket.MSG_PEEK):
                    server.gone.set()

            def answer(self, found: Reply):
                if isinstance(found, tuple):
                    status, message = found
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(json.dumps({"error": {"message": message}}).encode())
                    return
                self.send_response(200)
                if isinstance(found, dict):
                    self.end_headers()
                    self.wfile.write(json.dumps(found).encode())
                    return
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                parts = found if isinstance(found, list) else events(found)
                with contextlib.suppress(OSError):  # a client that has enough closes
                    for part in parts:
                        self.wfile.write(f"data: {part}\n\n".encode())

            def log_message(self, *_):
                pass

        return Handler

    @contextlib.contextmanager
    def serving(self, port: int = 0) -> Iterator[str]:
        """Yields the URL while it answers."""
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), self.handler()) as found:
            thread = threading.Thread(target=found.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{found.server_port}"
            finally:
                found.shutdown()
                thread.join()


def free_port() -> int:
    """Returns a port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
