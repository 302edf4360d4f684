"""Runs the commands on files that people have, and prints how each ends.

    python -m tests.cases FOLDER

FOLDER holds `arch/`, `models/`, `prompts/`, `sudoku/` and `mbpp_official_names/`; each file or
folder within is given to the command that reads its kind. Not a test: it takes minutes, and the
files are not in the repository. The mirrored tests have the same kinds.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_CODEGEN = "experiments.codegen"
_GENERATE = (_CODEGEN, "--mode=generate", "--max_tokens=2")
_TRACEBACK = "Traceback (most recent call last)"


def commands(folder: pathlib.Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields the name of each case, and the module and the flags that read it."""
    models = folder / "models"
    weights = models / "trm.safetensors"
    for path in sorted((folder / "arch").glob("*")):
        out = pathlib.Path(tempfile.mkdtemp()) / "model"
        flags = (f"--input={weights}", f"--arch={path}", f"--output={out}")
        yield path.name, ("experiments.convert", *flags)
    for path in sorted(models.iterdir()):
        if path != weights:
            yield path.name, (*_GENERATE, f"--model={path}", "--prompt=a")
    special = models / "special"
    marked = ("--special", "--prompt=<|im_start|>a<|im_end|>")
    yield "special, by name", (*_GENERATE, f"--model={special}", *marked)
    yield "special, in a chat", (*_GENERATE, f"--model={special}", "--chat", "--prompt=<|im_end|>")
    for path in sorted((folder / "prompts").iterdir()):
        flags = (f"--model={models / 'base'}", f"--prompt_file={path}", "--json")
        yield path.name, (*_GENERATE, *flags)
    for path in sorted((folder / "sudoku").iterdir()):
        flags = ("--mode=solve", f"--puzzle={path}", "--search_attempts=2")
        yield path.name, ("experiments.sudoku", *flags)
    for suite in ("mbpp", "mbpp_sanitized"):
        results = tempfile.mkdtemp()
        data = folder / "mbpp_official_names"
        flags = (f"--suite={suite}", f"--suite_data={data}", f"--results={results}/r")
        known = ("--completer=canonical", "--mbpp_style=instruction")
        yield f"{suite}, official name", (_CODEGEN, "--mode=eval", *flags, *known)


def run(module: str, *flags: str) -> tuple[int, str]:
    """Returns a command's exit code, and its error, or else the last line that it says."""
    done = subprocess.run(
        [sys.executable, "-m", module, *flags],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env=os.environ | {"COLUMNS": "200"},
    )
    said = (done.stderr.strip() or done.stdout.strip()).splitlines() or [""]
    _, _, error = done.stderr.partition("error: ")
    if _TRACEBACK in done.stderr:
        return done.returncode, f"TRACEBACK: {said[-1]}"
    return done.returncode, error.strip() or said[-1]


def main() -> int:
    """Prints the table; returns 1 if a command ended in a traceback."""
    folder = pathlib.Path(sys.argv[1]).resolve()
    table = Table("case", "status", "says")
    broken = 0
    for name, (module, *flags) in commands(folder):
        status, said = run(module, *flags)
        broken += said.startswith("TRACEBACK")
        table.add_row(name, str(status), said.replace(str(folder), "."))
        print(f"{name}: {status}", file=sys.stderr, flush=True)
    Console(width=200).print(table)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
