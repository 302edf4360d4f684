"""Exams in compiled languages: the tests are linked to the program and run in its process.

A program passes when it ends with status 0 and has repeated a secret that was written to its
standard input. The secret is read before the program's code runs, is in no file, and is repeated
after the last test (`hrm_jax.evaluation.judge.recipes`). So these do not pass: ending early with
success, by whatever call; printing what a success would print; changing tests, compiled or not
(the folder is read-only by then); reading standard input in the program; macros and functions that
shadow the tests' assertions, in C, C++ and Rust, where tests are compiled apart or name what they
call in full; classes that shadow the tests', in Java, where tests are compiled against the
reference.

Program and tests share a process, so what remains is a program written against these rules: it
could search its memory for the secret or, in Java, answer with objects that claim to equal
anything. Nothing that a program does reaches beyond its sandbox. Compilers run in one, too.
"""

import dataclasses
import secrets
import tempfile
from pathlib import Path

from hrm_jax.evaluation.judge.exams import Bounds, Exam, Verdict
from hrm_jax.evaluation.judge.recipes import BOX, SECRET_BYTES, Recipe, recipe_of
from hrm_jax.evaluation.judge.toolchains import Toolchain
from hrm_jax.evaluation.sandbox import processes
from hrm_jax.evaluation.sandbox.base import Job, Mount, Sandbox
from hrm_jax.evaluation.sandbox.processes import Outcome

_SAID_CHARACTERS = 500


def build_and_run(sandbox: Sandbox, exam: Exam, toolchain: Toolchain, bounds: Bounds) -> Verdict:
    """Returns the verdict on a program in a language that has a recipe."""
    recipe = recipe_of(exam, toolchain)
    with tempfile.TemporaryDirectory(prefix="exam-") as private:
        box = Path(private) / "box"
        _write(box, recipe)
        # Compilers write into the folder; the program that they made sees it read-only.
        mounts = (Mount(str(box), BOX, writable=True), *toolchain.mounts)
        seconds = 0.0
        for step in recipe.steps:
            outcome = processes.run(sandbox, Job(step, bounds.compile, mounts, folder=BOX))
            seconds += outcome.seconds
            if outcome.status != 0 or outcome.stopped:
                return Verdict(outcome.stopped or "compile", _said(outcome), seconds)
        mounts = (Mount(str(box), BOX), *toolchain.mounts)
        # Some runtimes reserve far more addresses than they use; for them only used memory is
        # bounded.
        shared = bounds.run.address_space and recipe.address_space
        limits = dataclasses.replace(bounds.run, address_space=shared)
        # A new secret for each exam: a program cannot know it in advance.
        secret = secrets.token_hex(SECRET_BYTES // 2).encode()
        outcome = processes.run(sandbox, Job(recipe.run, limits, mounts, folder=BOX), secret)
    return _verdict(outcome, secret, seconds + outcome.seconds)


def _write(box: Path, recipe: Recipe) -> None:
    """Writes the files of a recipe, readable and writable for any user of the sandbox."""
    for name, text in recipe.files.items():
        path = box / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Models may write lone surrogates, which UTF-8 cannot encode.
        path.write_text(text, encoding="utf-8", errors="replace")
        path.chmod(0o644)
    for folder in (box, *(path for path in box.rglob("*") if path.is_dir())):
        folder.chmod(0o777)


def _verdict(outcome: Outcome, secret: bytes, seconds: float) -> Verdict:
    if outcome.stopped:
        return Verdict(outcome.stopped, "", seconds)
    if outcome.status == processes.OUT_OF_TIME:
        return Verdict("time", "its processor time is used up", seconds)
    if outcome.status != 0:
        return Verdict("failed", f"exit status {outcome.status}: {_said(outcome)}", seconds)
    if secret not in outcome.stdout:
        return Verdict("failed", "the program ended before the tests did", seconds)
    return Verdict("passed", "", seconds)


def _said(outcome: Outcome) -> str:
    """Returns the end of what was written: standard error, or standard output if that is empty."""
    return (outcome.stderr or outcome.stdout).decode(errors="replace")[-_SAID_CHARACTERS:].strip()
