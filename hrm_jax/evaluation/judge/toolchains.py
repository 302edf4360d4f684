"""The languages that can be judged, and the programs on this machine that compile and run them."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args

from hrm_jax.core.errors import UserError
from hrm_jax.evaluation.sandbox.base import Mount

Language = Literal["python", "js", "java", "cpp", "c", "rust", "go", "bash"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_PROGRAMS: dict[Language, tuple[str, ...]] = {
    "python": (),  # the interpreter that runs this
    "js": ("node",),
    "java": ("javac", "java"),
    "cpp": ("g++",),
    "c": ("gcc",),
    "rust": ("rustc", "cc"),
    "go": ("go",),
    "bash": ("bash",),
}
_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/")


class ToolchainMissing(UserError, RuntimeError):
    """A language's compiler or interpreter is not on this machine; the message names it."""


@dataclasses.dataclass(frozen=True)
class Toolchain:
    """The programs that compile and run a language.

    Attributes:
      language: which.
      programs: absolute path of each program, links followed, by its name.
      mounts: folders outside the system's that the programs need, read-only.
      packages: of Python, what else programs may import, read-only; see
        `hrm_jax.evaluation.judge.packages`.
    """

    language: Language
    programs: dict[str, str]
    mounts: tuple[Mount, ...] = ()
    packages: tuple[Mount, ...] = ()


def find_toolchain(language: Language) -> Toolchain:
    """Finds a language's programs in PATH.

    Raises:
      ToolchainMissing: one of them is not there.
    """
    if language == "python":
        # The real path: a virtual environment's link points out of what is mounted.
        program = os.path.realpath(sys.executable)
        return Toolchain(language, {"python": program}, _mounts(sys.base_prefix))
    # All missing programs are named at once.
    missing = [name for name in _PROGRAMS[language] if shutil.which(name) is None]
    if missing:
        raise ToolchainMissing(
            f"{language}: expected {' and '.join(_PROGRAMS[language])} in PATH, "
            f"missing {' and '.join(missing)}; install it, or leave this language out"
        )
    programs = {name: os.path.realpath(shutil.which(name) or "") for name in _PROGRAMS[language]}
    if language == "rust":  # in PATH there may be rustup's, which wants a home
        root = _ask([str(shutil.which("rustc")), "--print", "sysroot"])
        programs["rustc"] = f"{root}/bin/rustc"
        return Toolchain(language, programs, _mounts(root))
    if language == "go":
        return Toolchain(language, programs, _mounts(_ask([programs["go"], "env", "GOROOT"])))
    if language == "java":
        home = Path(programs["java"]).parents[1]
        # Debian keeps the settings of a Java home in /etc, link by link.
        links = {str(path.resolve().parent) for path in home.glob("conf/**/*") if path.is_symlink()}
        return Toolchain(language, programs, _mounts(str(home), *links))
    return Toolchain(language, programs, _mounts(*map(os.path.dirname, programs.values())))


def _ask(argv: list[str]) -> str:
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolchainMissing(f"expected `{' '.join(argv)}` to answer, got {error}") from error
    return answer.stdout.strip()


def _mounts(*folders: str) -> tuple[Mount, ...]:
    """Returns mounts, outermost first, of those folders that are not among the system's."""
    outside = {f for f in folders if Path(f).exists() and not f"{f}/".startswith(_SYSTEM)}
    return tuple(Mount(folder, folder) for folder in sorted(outside))
