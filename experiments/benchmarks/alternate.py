"""The protocol of all comparisons: warm contestants in processes of their own take turns.

A machine's speed drifts with its temperature, its neighbours and its memory, so contestants are
never timed one after the other: each lives in a process of its own, compiled and warm, blocked on
a pipe while another runs, and rounds alternate A B C A B C ... Ratios are taken within a round and
summarised over rounds. This module knows nothing of what a contestant does.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.common import process
from hrm_jax.core.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEADY_HEAP = process.HEAP_SETTINGS


class ContestantError(UserError, RuntimeError):
    """A contestant's process raised an exception, with its traceback in the message, or ended."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """What is timed, and in which process.

    `function` ("module:name") called with `arguments`, which must be JSON, returns `run(steps)`,
    which returns when that many steps have finished. `environment` is added to ours, less the
    settings of malloc, so that contestants differ only by what is stated here.
    """

    name: str
    function: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    python: str = sys.executable


@dataclasses.dataclass(frozen=True)
class Sample:
    """One turn: its duration, the number of steps, page faults and peak memory."""

    seconds: float
    steps: int
    page_faults: int
    peak_rss_bytes: int

    @property
    def seconds_per_step(self) -> float:
        """The mean duration of a step in this turn."""
        return self.seconds / self.steps


@dataclasses.dataclass(frozen=True)
class Spread:
    """The median of a quantity over rounds, and its least and greatest value."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarises `values`, of which there must be one at least."""
        return cls(statistics.median(values), min(values), max(values))


Samples = dict[str, list[Sample]]


class Worker:
    """A process that runs functions on request; close it, or use it in a `with` statement."""

    def __init__(self, python: str = sys.executable, environment: Mapping[str, str] | None = None):
        # The caller's own malloc settings are removed, so that only the contestant's are in effect.
        inherited = {key: value for key, value in os.environ.items() if "MALLOC_" not in key}
        inherited.pop("GLIBC_TUNABLES", None)
        variables = inherited | dict(environment or {})
        # Another environment's interpreter, as that of PyTorch, need not have this project
        # installed.
        paths = [str(ROOT), str(ROOT / "kernels"), *filter(None, [variables.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [python, "-m", "experiments.benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables | {"PYTHONPATH": os.pathsep.join(paths)},
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Kills the process, whatever it is doing."""
        self._process.kill()
        # `communicate` also closes the pipes and waits, so that no zombie is left.
        self._process.communicate()

    def call(self, function: str, **arguments: Any) -> Any:
        """Returns the JSON result of `function` ("module:name").

        Raises:
          ContestantError: it fails.
        """
        return self._ask(do="call", function=function, arguments=arguments)

    def build(self, contestant: Contestant) -> None:
        """Builds the contestant that `run` runs; raises ContestantError where that fails."""
        self._ask(do="build", function=contestant.function, arguments=dict(contestant.arguments))

    def run(self, steps: int) -> Sample:
        """Times `steps` steps of the contestant; raises ContestantError where one fails."""
        return Sample(**self._ask(do="run", steps=steps))

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # A process that has ended is reported below, by the reply that does not come.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ContestantError(f"worker ended with exit status {self._process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise ContestantError(reply["error"])
        return reply["result"]


def measure(
    contestants: Sequence[Contestant],
    *,
    rounds: int,
    steps_per_round: int,
    warmup_steps: int,
    report: Callable[[str], None] = lambda message: None,
) -> Samples:
    """Builds and warms every contestant, then times them in turns.

    Args:
        contestants: of distinct names; all their processes live until the end.
        rounds: turns of each contestant.
        steps_per_round: steps in one turn, timed together.
        warmup_steps: untimed steps of each contestant before the first round; compilation
            happens here.
        report: told what happens, for a progress display.

    Returns:
        The samples of each contestant by name, one a round, in the order of rounds.

    Raises:
        ContestantError: a contestant failed; the message holds its name and traceback.
    """
    names = [contestant.name for contestant in contestants]
    if len(set(names)) < len(names):
        raise ValueError(f"contestants: expected distinct names, got {', '.join(names)}")
    # All contestants are warm before the first is timed: compiling one would disturb another's
    # turn.
    with contextlib.ExitStack() as stack:
        workers = {}
        for contestant in contestants:
            report(f"building and warming {contestant.name}")
            worker = stack.enter_context(prepare(contestant, warmup_steps))
            workers[contestant.name] = worker
        return take_turns(workers, rounds, steps_per_round, report)


def prepare(contestant: Contestant, warmup_steps: int) -> Worker:
    """Starts a contestant's process, builds it there and warms it.

    Raises:
        ContestantError: it failed; the message holds its name and traceback.
    """
    worker = Worker(contestant.python, contestant.environment)
    try:
        with _naming(contestant.name):
            worker.build(contestant)
            worker.run(warmup_steps)
    # The process would outlive an error of any kind, KeyboardInterrupt included.
    except BaseException:
        worker.close()
        raise
    return worker


def take_turns(
    workers: Mapping[str, Worker],
    rounds: int,
    steps_per_round: int,
    report: Callable[[str], None] = lambda message: None,
) -> Samples:
    """Times prepared contestants in turns and returns their samples; see `measure`."""
    samples: Samples = {name: [] for name in workers}
    for index in range(rounds):
        for name, worker in workers.items():
            report(f"round {index + 1} of {rounds}: {name}")
            with _naming(name):
                samples[name].append(worker.run(steps_per_round))
    return samples


def step_seconds(samples: Sequence[Sample]) -> Spread:
    """Returns the spread over rounds of a contestant's seconds per step."""
    return Spread.of([sample.seconds_per_step for sample in samples])


def speed_ratio(samples: Sequence[Sample], reference: Sequence[Sample]) -> Spread:
    """Returns a contestant's speed as a multiple of the reference's, round by round."""
    pairs = zip(samples, reference, strict=True)
    return Spread.of([other.seconds_per_step / own.seconds_per_step for own, other in pairs])


def rates(speeds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, Any]]:
    """Returns figures of each contestant as JSON values, by name.

    Args:
      speeds: tokens per second of each contestant, one a round; all are compared with the first.

    Returns:
      `tokens_per_second` and `speed_ratio`, spreads over the rounds, and `rounds`, the speeds.
    """
    first = next(iter(speeds.values()))
    return {
        name: {
            "tokens_per_second": dataclasses.asdict(Spread.of(own)),
            "speed_ratio": dataclasses.asdict(
                Spread.of([mine / other for mine, other in zip(own, first, strict=True)])
            ),
            "rounds": list(own),
        }
        for name, own in speeds.items()
    }


def cells(figures: Mapping[str, Any]) -> tuple[str, str]:
    """Returns a contestant's speed and speed ratio of `rates` for a table: median (low-high)."""
    speed = "{median:.1f} ({low:.1f}-{high:.1f})".format(**figures["tokens_per_second"])
    ratio = "{median:.2f} ({low:.2f}-{high:.2f})".format(**figures["speed_ratio"])
    return speed, ratio


def importable(module: str, python: str = sys.executable) -> bool:
    """Returns whether that interpreter finds a top-level module, without importing it."""
    # Asked in that interpreter: what ours finds says nothing of another environment.
    question = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", question], check=False).returncode == 0


@contextlib.contextmanager
def _naming(name: str):
    """Adds the contestant's name to errors."""
    try:
        yield
    except ContestantError as error:
        # The worker's traceback is in the message; ours would add nothing to it.
        raise ContestantError(f"{name}: {error}") from None
