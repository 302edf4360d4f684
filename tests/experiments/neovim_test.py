"""Neovim with the lines of docs/editor.md: what is typed, and what stands there then."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

pytest.importorskip("pygls", reason="needs the extra editor")

from tests.experiments.conftest import ROOT
from tests.infill_server import InfillServer, free_port

NVIM = shutil.which("nvim")
MESSAGES = "execute('messages')"
pytestmark = pytest.mark.skipif(NVIM is None, reason="needs nvim")


def configuration(heading: str, url: str) -> str:
    """Lines of the documentation, with this Python and another server."""
    text = (ROOT / "docs" / "editor.md").read_text(encoding="utf-8")
    found = re.search(rf"\*\*{heading}.*?```lua\n(.*?)```", text, re.DOTALL)
    assert found is not None
    lines = found[1]
    assert '"python", "-m", "experiments.language_server"' in lines
    program = f'"{sys.executable}", "-m", "experiments.language_server", "--server={url}"'
    return lines.replace('"python", "-m", "experiments.language_server"', program)


def has_inline_completion() -> bool:
    """Whether Neovim is 0.12 or newer."""
    version = subprocess.run([str(NVIM), "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"NVIM v(\d+)\.(\d+)", version.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= (0, 12)


class Neovim:
    """A Neovim without a screen, spoken to through its socket."""

    def __init__(self, socket: str):
        self._socket = socket

    def send(self, keys: str) -> None:
        subprocess.check_call([str(NVIM), "--server", self._socket, "--remote-send", keys])

    def value(self, expression: str) -> str:
        command = [str(NVIM), "--server", self._socket, "--remote-expr", expression]
        # 0.7 writes the value to standard error.
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return (found.stdout or found.stderr).strip()

    def wait(self, expression: str, is_meant: Callable[[str], bool]) -> str:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = self.value(expression)
            if is_meant(found):
                return found
            time.sleep(0.05)
        pytest.fail(f"{expression} stays {found!r}; {self.value(MESSAGES)}")


@contextlib.contextmanager
def neovim(folder, heading, url, file="a.py"):
    (folder / "init.lua").write_text(configuration(heading, url))
    socket = folder / "socket"
    process = subprocess.Popen(
        [str(NVIM), "--headless", "--clean", "-n", "-u", "init.lua", "--listen", socket, file],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not socket.exists():
            time.sleep(0.02)
        yield Neovim(str(socket))
    finally:
        process.kill()
        process.wait()


def test_plain_completion_inserts_what_the_server_writes(tmp_path):
    server = InfillServer(lambda body: "rn 'Å😀')\nmore")
    (tmp_path / "a.py").write_text("# Å😀\nprint()\n")
    port = free_port()
    with neovim(tmp_path, "Neovim 0.7", f"http://127.0.0.1:{port}") as editor:
        editor.wait('luaeval("#vim.lsp.buf_get_clients(0)")', lambda found: found == "1")
        editor.send("2Gf(aretu<C-x><C-o>")
        told = editor.wait(MESSAGES, lambda found: "Start one" in found)
        assert f"No server answers at http://127.0.0.1:{port}. Start one: python -m" in told
        with server.serving(port):
            editor.send("<C-x><C-o>")
            editor.wait("getline(2)", lambda found: found != "print(retu)")
            editor.send("<C-y>")
            editor.wait("getline(2)", lambda found: found == "print(return 'Å😀')")
            assert server.asked[-1]["input_prefix"] == "# Å😀\nprint(retu"
            assert server.asked[-1]["input_suffix"] == ")\n"
            # Changes are known, behind an emoji too.
            server.reply = lambda body: "!"
            editor.send("<Esc>A #<C-x><C-o>")
            line = editor.wait("getline(2)", lambda found: found.endswith("!"))
            assert line == "print(return 'Å😀') #!"
            assert server.asked[-1]["input_prefix"] == "# Å😀\nprint(return 'Å😀') #"


def test_ghost_text_is_shown_and_taken(tmp_path):
    if not has_inline_completion():
        pytest.skip("needs Neovim 0.12")
    server = InfillServer(lambda body: "b) {")
    (tmp_path / "a.js").write_text("if (a)\n")
    with server.serving() as url, neovim(tmp_path, "Neovim 0.12", url, "a.js") as editor:
        editor.wait('luaeval("#vim.lsp.get_clients({ bufnr = 0 })")', lambda found: found == "1")
        editor.send("f)i")
        namespace = 'nvim_create_namespace("nvim.lsp.inline_completion")'
        marks = f"string(nvim_buf_get_extmarks(0, {namespace}, 0, -1, {{'details': v:true}}))"
        editor.wait(marks, lambda found: "b) {" in found)
        editor.send("<Tab>")
        # It is written over the bracket behind the cursor.
        assert editor.wait("getline(1)", lambda found: found != "if (a)") == "if (ab) {"
