"""Mutation testing: do the tests of a module notice when one operator or constant of it is changed?

    python -m tests.mutate --samples=200 --seed=0                 # of CORE; hours on two cores
    python -m tests.mutate --modules='hrm_jax/losses/*.py' --samples=30
    python -m tests.mutate --again                                # those that survived, once more

Each mutant is one change in a copy of the repository: an arithmetic or bitwise operator, a
comparison, `and`, `or`, `not`, a sign, a boolean or a number. Only the mirrored tests of its module
run: `hrm_jax/optim/ema.py` has `tests/hrm_jax/optim/ema_test.py`, and what begins with that name.
`ALSO` names the tests of modules that share those of another.

Results are added to a file of JSON lines, and mutants that are in it are not run again, so the
command goes on where it was stopped. Mutants that nothing can tell from the original are listed in
`tests/equivalent_mutants.json`, each with the reason, and left out.

Not changed: annotations, texts, what only guards against misuse by programmers (`strict=` of `zip`,
`frozen=` of dataclasses), and what only saves time (`cache=` of numba).
"""

import argparse
import collections
import dataclasses
import difflib
import importlib
import json
import math
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from tests.mutants import Mutant, find_mutants

ROOT = pathlib.Path(__file__).parents[1]
EQUIVALENT = ROOT / "tests" / "equivalent_mutants.json"
CORE = (
    *("hrm_jax/losses/*.py", "hrm_jax/optim/*.py", "hrm_jax/training/*.py", "hrm_jax/core/*.py"),
    *("hrm_jax/nn/*.py", "hrm_jax/models/recurrence.py", "hrm_jax/inference/*.py"),
    *("hrm_jax/data/sudoku/rules.py", "hrm_jax/data/sudoku/solver.py"),
    *("kernels/hrm_kernels/mask.py", "kernels/hrm_kernels/blocks.py"),
)
ALSO = {
    "hrm_jax/training/state_arrays.py": ("hrm_jax/training/checkpoint",),
    "hrm_jax/training/state.py": ("hrm_jax/training/step",),
    "hrm_jax/training/first_state.py": ("hrm_jax/training/step", "hrm_jax/training/run"),
    "hrm_jax/training/divergence.py": ("hrm_jax/training/loop",),
    "hrm_jax/training/saving.py": ("hrm_jax/training/loop",),
    "hrm_jax/training/run_config.py": ("hrm_jax/training/loop",),
    "hrm_jax/training/observing.py": ("hrm_jax/training/observing", "hrm_jax/training/run"),
    "hrm_jax/training/run_files.py": ("hrm_jax/training/side_records",),
    "hrm_jax/core/texts.py": ("hrm_jax/models/text_step",),
    "hrm_jax/core/config_values.py": ("hrm_jax/core/config",),
    "hrm_jax/inference/engine.py": ("hrm_jax/inference/stream",),
    "hrm_jax/inference/slots.py": ("hrm_jax/inference/stream", "hrm_jax/inference/search"),
    "hrm_jax/nn/attention.py": (
        "hrm_jax/nn/block",
        "hrm_jax/nn/decoder_block",
        "hrm_jax/nn/gated_stack",
    ),
}
"""Tests of modules that have none of their own, as paths below `tests` without `_test.py`."""

HEAVY = ("jax", "flax.nnx", "optax", "numpy", "pytest")
"""Imported once for all mutants, which run in forks. None of them starts a thread."""

COMPILED = {
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(tempfile.gettempdir()) / "mutants-compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""Environment: a mutant compiles only the programs that it changes."""

SLOWER = 3
SECONDS_MORE = 20
WAITING = 20
"""A mutant that takes so many times the processor time of the original, and so much more, does not
end; nor does one that takes `WAITING` times as long as that by the clock."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How the tests of a mutant ended.

    Attributes:
      result: killed, survived, or timeout, which counts as killed.
      seconds: how long they took.
      cpu_seconds: of a processor that they used, but for processes of theirs that still ran.
    """

    result: str
    seconds: float
    cpu_seconds: float


def _cpu_seconds(process: int) -> float:
    """Seconds of processor time that a process and its ended children have used (Linux)."""
    stat = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    ticks = stat.rpartition(")")[2].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def tests_of(module: str) -> list[str]:
    """Paths of the tests that stand for a module, given its path; none if it has no tests."""
    place = module.removeprefix("kernels/hrm_").removeprefix("hrm_kernels/")
    stem = place.removesuffix(".py")
    names = ALSO.get(module, (stem,))
    found = {path for name in names for path in ROOT.glob(f"tests/{name}*_test.py")}
    mirrored = [path.relative_to(ROOT).as_posix() for path in found if _is_mirrored(path, names)]
    exact = [f"tests/{name}_test.py" for name in names]
    return sorted(mirrored, key=lambda test: (test not in exact, test))  # the quick ones first


def _is_mirrored(test: pathlib.Path, names: tuple[str, ...]) -> bool:
    """Whether no other module's name is a better match: `config_values_test.py` is not config's."""
    stem = test.relative_to(ROOT / "tests").as_posix().removesuffix("_test.py")
    if stem in names:
        return True
    return not any((ROOT / folder / f"{stem}.py").exists() for folder in ("", "kernels"))


def sample(patterns: list[str], count: int, seed: int) -> list[Mutant]:
    """So many mutants of the modules, drawn at random, those that are equivalent left out."""
    modules = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    names = [path.relative_to(ROOT).as_posix() for path in modules]
    equivalent = {mutant.identity for mutant in read_equivalent()}
    found = [
        mutant
        for name in names
        if tests_of(name)
        for mutant in find_mutants(name, (ROOT / name).read_text(encoding="utf-8"))
        if mutant.identity not in equivalent
    ]
    return random.Random(seed).sample(found, min(count, len(found)))


def read_equivalent() -> list[Mutant]:
    """The mutants that nothing can tell from the original; the file has the reason for each."""
    entries = json.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else []
    return [_mutant(entry) for entry in entries]


def _mutant(entry: dict[str, Any]) -> Mutant:
    return Mutant(**{field.name: entry[field.name] for field in dataclasses.fields(Mutant)})


class Workplace:
    """A copy of the repository in which modules are changed, one at a time."""

    def __init__(self, folder: pathlib.Path):
        """Copies what git knows, and new files that it does not ignore, into `folder`."""
        self.folder = folder
        self._cpu_seconds: dict[tuple[str, ...], float] = {}
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        for name in listed.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)

    def judge(self, mutant: Mutant) -> Outcome:
        """Runs the tests of a mutant's module.

        Raises:
          RuntimeError: they fail, or find nothing to run, without the change.
        """
        tests = tuple(tests_of(mutant.module))
        if tests not in self._cpu_seconds:
            self._run(tests, math.inf)  # compiles what the runs to come find compiled
            original = self._run(tests, math.inf)
            if original.result != "survived":
                raise RuntimeError(f"{tests}: fail without any change, see {self.folder}/output")
            self._cpu_seconds[tests] = original.cpu_seconds
        path = self.folder / mutant.module
        original_text = path.read_text(encoding="utf-8")
        path.write_text(mutant.apply(original_text), encoding="utf-8")
        try:
            return self._run(tests, SLOWER * self._cpu_seconds[tests] + SECONDS_MORE)
        finally:
            path.write_text(original_text, encoding="utf-8")

    def _run(self, tests: tuple[str, ...], limit_cpu_seconds: float) -> Outcome:
        start = time.monotonic()
        process = os.fork()
        if process == 0:
            self._run_in_fork(tests)
        # Of a loaded machine only the processor's time says something; one that waits has none.
        limit_seconds = WAITING * limit_cpu_seconds
        while True:
            cpu_seconds = _cpu_seconds(process)
            ended, status = os.waitpid(process, os.WNOHANG)
            seconds = time.monotonic() - start
            if ended:
                failed = os.waitstatus_to_exitcode(status) != 0
                result = "killed" if failed else "survived"
                return Outcome(result, round(seconds, 1), round(cpu_seconds, 1))
            if cpu_seconds > limit_cpu_seconds or seconds > limit_seconds:
                os.killpg(process, signal.SIGKILL)
                os.waitpid(process, 0)
                return Outcome("timeout", round(seconds, 1), round(cpu_seconds, 1))
            time.sleep(0.1)

    def _run_in_fork(self, tests: tuple[str, ...]) -> None:
        """Runs pytest in this process, which ends with its exit code."""
        code = 99
        try:
            os.setsid()
            output = os.open(self.folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.folder)
            ours = [str(self.folder), str(self.folder / "kernels")]
            sys.path[:] = [*ours, *(place for place in sys.path if place not in ("", str(ROOT)))]
            for name in [n for n in sys.modules if n.split(".")[0] == "tests"]:
                del sys.modules[name]
            os.environ["PYTHONPATH"] = os.pathsep.join(ours)
            import pytest

            code = int(pytest.main(["-x", "-q", "--thorough", "-p", "no:cacheprovider", *tests]))
        finally:
            os._exit(code)


def run(mutants: list[Mutant], results: pathlib.Path, *, again: bool = False) -> None:
    """Judges the mutants that `results` does not have yet, or all of them, and adds them to it."""
    known = set() if again else {mutant.identity for mutant, _ in read_results(results)}
    left = [mutant for mutant in mutants if mutant.identity not in known]
    left.sort(key=lambda mutant: (tests_of(mutant.module), mutant.line))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        workplace = Workplace(pathlib.Path(folder))
        for number, mutant in enumerate(left, 1):
            outcome = workplace.judge(mutant)
            entry = dataclasses.asdict(mutant) | dataclasses.asdict(outcome)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            print(
                f"{number}/{len(left)} {outcome.result} {outcome.cpu_seconds} s {mutant}",
                flush=True,
            )


def read_results(path: pathlib.Path) -> list[tuple[Mutant, str]]:
    """Each mutant that was run with its newest result, the equivalent ones left out."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = [json.loads(line) for line in lines]
    equivalent = {mutant.identity for mutant in read_equivalent()}
    found = {_mutant(entry).identity: (_mutant(entry), entry["result"]) for entry in entries}
    return [found[identity] for identity in found.keys() - equivalent]


def report(results: list[tuple[Mutant, str]]) -> Iterator[str]:
    """Lines that say how many mutants were killed, and show those that were not."""
    for mutant, result in results:
        if result == "survived":
            yield f"survived: {mutant}"
            yield from _diff(mutant)
    counts = collections.Counter(result for _, result in results)
    killed = counts["killed"] + counts["timeout"]
    yield f"{killed} of {len(results)} killed ({killed / max(len(results), 1):.1%}): {dict(counts)}"


def _diff(mutant: Mutant) -> Iterator[str]:
    text = (ROOT / mutant.module).read_text(encoding="utf-8")
    try:
        changed = mutant.apply(text)
    except ValueError as error:
        yield str(error)
        return
    lines = difflib.unified_diff(text.splitlines(), changed.splitlines(), n=1, lineterm="")
    yield from list(lines)[2:]


def _prepare_process() -> None:
    """Imports what every fork needs, and has them share compiled programs."""
    # A mutant's file may have the size and the second of the one before: no bytecode.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for name, value in COMPILED.items():
        os.environ.setdefault(name, value)
    for name in HEAVY:
        importlib.import_module(name)


def main() -> None:
    """Runs what the command line says."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", default=",".join(CORE), help="globs, separated by commas")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("mutants.jsonl"))
    parser.add_argument("--shard", default="0/1", help="1/2: the second half, of two processes")
    parser.add_argument("--again", action="store_true", help="run only those that survived")
    arguments = parser.parse_args()
    _prepare_process()
    mutants = sample(arguments.modules.split(","), arguments.samples, arguments.seed)
    if arguments.again:
        mutants = [m for m, result in read_results(arguments.results) if result == "survived"]
    shard, shards = map(int, arguments.shard.split("/"))
    run(mutants[shard::shards], arguments.results, again=arguments.again)
    print("\n".join(report(read_results(arguments.results))))


if __name__ == "__main__":
    main()
