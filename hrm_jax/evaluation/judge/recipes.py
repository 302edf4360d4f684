"""Recipes: how a program and its tests become a command, in compiled languages and in bash.

The command reads a secret before any of the program's code runs, and repeats it after the last
test. The names of the functions that handle the secret are random.
"""

import dataclasses
import re
import secrets
from collections.abc import Callable, Mapping

from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.judge.go_files import GO_FILES, with_imports
from hrm_jax.evaluation.judge.toolchains import Language, Toolchain

BOX = "/box"
"""The exam's folder inside the sandbox: writable for compilers, read-only for the program."""

SECRET_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The files, compiler commands and test command of an exam.

    Attributes:
      files: source text by its path below `BOX`.
      steps: commands of trusted compilers, in order.
      run: the command that runs the tests.
      address_space: whether the run's address space can be bounded.
    """

    files: Mapping[str, str]
    steps: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]
    address_space: bool = True


def recipe_of(exam: Exam, toolchain: Toolchain) -> Recipe:
    """Returns the recipe of an exam; KeyError for languages that are examined instead."""
    return RECIPES[exam.language](exam, toolchain.programs)


def _c_like(suffix: str, *compiler: str) -> Callable[[Exam, Mapping[str, str]], Recipe]:
    """Returns the recipe of C or C++: two objects, so that the program's macros do not reach tests.

    The tests' object comes first; where both define a name, the linker takes the first.
    """

    def recipe(exam: Exam, programs: Mapping[str, str]) -> Recipe:
        name = f"report_{secrets.token_hex(8)}"
        compile_ = (programs[compiler[0]], *compiler[1:], "-O1", "-w")
        tests = f"tests{suffix}"
        files = {
            tests: _C_HEAD.replace("REPORT", name) + exam.reference + "\n" + _ended(exam, name),
            # Before the system's: the tests' assertions call nothing that a program could define.
            "tests/assert.h": _C_ASSERT,
            f"program{suffix}": exam.program,
        }
        # Some problems of the suites hash with OpenSSL.
        libraries = ["-lcrypto"] if "openssl/" in exam.program else []
        # muldefs: the program may define what the tests define, such as `main`; the first object
        # wins.
        link = ("-Wl,-z,muldefs", "-lm", *libraries)
        steps = (
            (*compile_, f"-I{BOX}/tests", "-c", tests, "-o", "tests.o"),
            (*compile_, "-c", f"program{suffix}", "-o", "program.o"),
            (*compile_, "tests.o", "program.o", *link, "-o", "program"),
        )
        return Recipe(files, steps, (f"{BOX}/program",))

    return recipe


def _ended(exam: Exam, name: str) -> str:
    """Returns the tests with a call of the report where `main` ends.

    Raises:
      ValueError: `main` is not the last function.
    """
    end = re.search(r"(return\s+0\s*;\s*)?\}\s*$", exam.tests)
    if end is None:
        raise ValueError(f"tests: expected `main` to be last, got {exam.tests[-80:]!r}")
    return f"{exam.tests[: end.start()]}\n{name}();\n{end[0]}"


def _java(exam: Exam, programs: Mapping[str, str]) -> Recipe:
    """Returns the recipe of Java: tests are compiled against the reference, not the program.

    The reference's class is then left out, and the program's is loaded in its place.
    """
    files = {
        "reference/Solution.java": exam.reference,
        "reference/Main.java": exam.tests,
        "reference/Report.java": _JAVA_REPORT,
        "program/Solution.java": exam.program,
    }
    options = ("-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1", "-J-Xmx512m", "-nowarn")
    # Without annotation processors, which would be code of the program in the compiler.
    javac = (programs["javac"], *options, "-proc:none", "-encoding", "UTF-8")
    trusted = [f"reference/{name}.java" for name in ("Solution", "Main", "Report")]
    # All but the reference's `Solution`, whose place the program's takes.
    keep = "mkdir tests && mv reference/Main*.class reference/Report.class tests"
    steps = (
        (*javac, "-d", "reference", *trusted),
        ("/bin/sh", "-c", keep),
        (*javac, "-d", "program", "program/Solution.java"),
    )
    java = (programs["java"], "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m")
    run = (*java, "-XX:-UsePerfData", "-cp", f"{BOX}/tests:{BOX}/program", "Report")
    return Recipe(files, steps, run, address_space=False)


def _rust(exam: Exam, programs: Mapping[str, str]) -> Recipe:
    """Returns the recipe of Rust: one crate, as tests may call private functions."""
    # Tests run in the order of their names on one thread, so the report is the last.
    name = f"zz_report_{secrets.token_hex(8)}"
    # Paths in full: the program cannot shadow the assertions with macros of its own.
    tests = re.sub(r"(?<![\w:])(assert(?:_eq|_ne)?!)", r"::core::\1", exam.tests)
    source = "\n".join([_without_crates(exam.program), tests, _RUST_REPORT.replace("REPORT", name)])
    options = ("--edition=2021", "--test", "--cap-lints=allow", "-Copt-level=1", "-Cdebuginfo=0")
    compile_ = (programs["rustc"], *options, f"-Clinker={programs['cc']}", "program.rs")
    run = (f"{BOX}/program", "--test-threads=1", "--nocapture")
    return Recipe({"program.rs": source}, ((*compile_, "-o", "program"),), run)


def _without_crates(program: str) -> str:
    """Returns a program without unused imports of crates that are not installed."""
    for line, used in (
        ("use rand::Rng;", r"\b(rand::|thread_rng|gen_range|Rng)\b"),
        ("use regex::Regex;", r"\bRegex\b"),
        ("use md5;", r"\bmd5::"),
    ):
        rest = program.replace(line, "")
        if not re.search(used, rest):
            program = rest
    return program


def _go(exam: Exam, programs: Mapping[str, str]) -> Recipe:
    """Returns the recipe of Go: a package and its tests, with assertions in place of testify's."""
    sources = {"program.go": exam.program, "program_test.go": exam.tests}
    files = GO_FILES | {name: with_imports(source) for name, source in sources.items()}
    # Nothing is downloaded, neither modules nor another version of Go.
    settings = (
        "HOME=/tmp",
        "GOFLAGS=-mod=mod",
        "GOPROXY=off",
        "GOTOOLCHAIN=local",
        "CGO_ENABLED=0",
    )
    compile_ = ("/usr/bin/env", *settings, programs["go"], "test", "-vet=off")
    compile_ += ("-c", "-o", "program", ".")
    return Recipe(files, (compile_,), (f"{BOX}/program",), address_space=False)


def _bash(exam: Exam, programs: Mapping[str, str]) -> Recipe:
    """Returns the recipe of bash: tests run `program.sh`, a script, as processes of its own."""
    # read takes the secret from standard input before the tests start the program; `set -e` ends at
    # the first test that fails.
    tests = f'read -r -N {SECRET_BYTES} secret\nset -eu\n{exam.tests}\nprintf %s "$secret"\n'
    files = {"program.sh": exam.program, "tests.sh": tests}
    return Recipe(files, (), (programs["bash"], f"{BOX}/tests.sh"))


RECIPES: dict[Language, Callable[[Exam, Mapping[str, str]], Recipe]] = {
    "c": _c_like(".c", "gcc", "-std=gnu17"),
    "cpp": _c_like(".cpp", "g++", "-std=c++17"),
    "java": _java,
    "rust": _rust,
    "go": _go,
    "bash": _bash,
}

# A constructor runs before main; 101 is the first priority that is not reserved for the
# implementation.
_C_HEAD = f"""
#include <unistd.h>
static char REPORT_secret[{SECRET_BYTES}];
__attribute__((constructor(101))) static void REPORT_begin(void) {{
  if (read(0, REPORT_secret, {SECRET_BYTES}) != {SECRET_BYTES}) _exit(3);
}}
static void REPORT(void) {{
  if (write(1, REPORT_secret, {SECRET_BYTES}) != {SECRET_BYTES}) _exit(3);
}}
"""

# A trap ends the process with a signal: no function is called that the program could define.
_C_ASSERT = """
#undef assert
#define assert(...) ((__VA_ARGS__) ? (void)0 : __builtin_trap())
"""

_JAVA_REPORT = f"""
import java.io.*;

public class Report {{
    public static void main(String[] arguments) throws Exception {{
        byte[] secret = new byte[{SECRET_BYTES}];
        new DataInputStream(new FileInputStream(FileDescriptor.in)).readFully(secret);
        Main.main(new String[0]);
        new FileOutputStream(FileDescriptor.out).write(secret);
    }}
}}
"""

# .init_array runs before main and the tests, without any code of the program.
_RUST_REPORT = f"""
#[cfg(test)]
mod REPORT {{
    static mut SECRET: [u8; {SECRET_BYTES}] = [0; {SECRET_BYTES}];
    extern "C" {{
        fn read(descriptor: i32, to: *mut u8, count: usize) -> isize;
        fn write(descriptor: i32, from: *const u8, count: usize) -> isize;
    }}
    extern "C" fn begin() {{
        unsafe {{ read(0, &raw mut SECRET as *mut u8, {SECRET_BYTES}) }};
    }}
    #[used]
    #[link_section = ".init_array"]
    static BEGIN: extern "C" fn() = begin;

    #[test]
    fn report() {{
        unsafe {{ write(1, &raw const SECRET as *const u8, {SECRET_BYTES}) }};
    }}
}}
"""
