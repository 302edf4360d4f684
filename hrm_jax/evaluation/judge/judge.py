"""Judges programs, several at a time."""

import concurrent.futures
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from hrm_jax.evaluation.judge import building, examination
from hrm_jax.evaluation.judge.exams import Bounds, Exam, Verdict
from hrm_jax.evaluation.judge.packages import PackageMissing, package_mounts
from hrm_jax.evaluation.judge.toolchains import Language, Toolchain, find_toolchain
from hrm_jax.evaluation.sandbox.base import Sandbox

_EXAMINED: tuple[Language, ...] = ("python", "js")


@dataclasses.dataclass(frozen=True)
class Judge:
    """Judges programs in sandboxes.

    Attributes:
      sandbox: where programs run; see `hrm_jax.evaluation.sandbox.isolation.find_sandbox`.
      toolchain: of the exams' language.
      bounds: limits of programs and compilers.
      workers: exams at a time.
    """

    sandbox: Sandbox
    toolchain: Toolchain
    bounds: Bounds = dataclasses.field(default_factory=Bounds)
    workers: int = 2

    @classmethod
    def of(
        cls,
        language: Language,
        sandbox: Sandbox,
        bounds: Bounds,
        workers: int,
        packages: Sequence[str] = (),
    ) -> "Judge":
        """Returns a judge of a language.

        Args:
          language: of the exams.
          sandbox, bounds, workers: as the attributes.
          packages: what programs in Python may import besides the standard library.

        Raises:
          ToolchainMissing: as `find_toolchain`.
          PackageMissing: as `package_mounts`, or the language is not Python.
        """
        if packages and language != "python":
            raise PackageMissing(
                f"--allow_packages: expected none for {language}, as only programs in Python may "
                f"import packages, got {', '.join(packages)}; leave it out"
            )
        toolchain = find_toolchain(language)
        toolchain = dataclasses.replace(toolchain, packages=package_mounts(packages))
        return cls(sandbox, toolchain, bounds, workers)

    def judge(self, exam: Exam) -> Verdict:
        """Returns the verdict on one program.

        Raises:
          ValueError: it is in another language.
        """
        if exam.language != self.toolchain.language:
            raise ValueError(
                f"expected an exam in {self.toolchain.language}, got one in {exam.language}; "
                "make a judge for each language"
            )
        how = examination.examine if exam.language in _EXAMINED else building.build_and_run
        return how(self.sandbox, exam, self.toolchain, self.bounds)

    def judge_all(self, exams: Iterable[Exam]) -> Iterator[Verdict]:
        """Yields the verdicts in the exams' order; up to `workers` exams run at a time."""
        # Threads are enough: they wait for processes.
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(self.judge, exams)
