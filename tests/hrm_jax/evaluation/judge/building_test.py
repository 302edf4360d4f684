"""Compiled languages: right programs pass; ending early, forging and shadowing do not."""

import pytest

from hrm_jax.evaluation.judge.exams import Exam

EXAMS = {
    "cpp": Exam(
        "cpp",
        "",
        "#include<assert.h>\nint main(){ assert(f(1) == 2); assert(f(2) == 3); }",
        ("f",),
        "int f(int x);",
    ),
    "c": Exam(
        "c",
        "",
        "#include <assert.h>\nint main(void) { assert(f(1) == 2); assert(f(2) == 3); return 0; }",
        ("f",),
        "int f(int x);",
    ),
    "java": Exam(
        "java",
        "",
        "import java.util.*;\npublic class Main { public static void main(String[] args) {\n"
        "List<Boolean> right = Arrays.asList(new Solution().f(1) == 2, new Solution().f(2) == 3);\n"
        "if (right.contains(false)) throw new AssertionError(); } }",
        ("f",),
        "class Solution { public int f(int x) { return x + 1; } }",
    ),
    "rust": Exam(
        "rust",
        "",
        "#[cfg(test)]\nmod tests {\n use super::*;\n #[test]\n fn works() {\n"
        "  assert_eq!(f(1), 2);\n  assert!(f(2) == 3);\n }\n}",
        ("f",),
    ),
    "go": Exam(
        "go",
        "",
        'package main\nimport ("testing"; "github.com/stretchr/testify/assert")\n'
        "func TestF(t *testing.T) { assert := assert.New(t); assert.Equal(2, F(1)) }",
        ("F",),
    ),
    "bash": Exam("bash", "", "[ $(bash program.sh 1) = 2 ]\n[ $(bash program.sh 2) = 3 ]", ()),
}
RIGHT = {
    "cpp": '#include <cstdio>\nint f(int x) { puts("noise"); return x + 1; }',
    "c": "int f(int x) { return x + 1; }",
    "java": "class Solution { public int f(int x) { System.out.println(0); return x + 1; } }",
    "rust": 'fn f(x: i32) -> i32 { println!("noise"); x + 1 }',
    "go": "package main\nfunc F(x int) int { return x + 1 }",
    "bash": "echo $(($1 + 1))",
}
ATTACKS = {
    "cpp": {
        "wrong": "int f(int x) { return 2; }",
        "exits": "#include <cstdlib>\nint f(int) { exit(0); }",
        "exits at once": "#include <unistd.h>\nstruct S { S() { _exit(0); } } s;\nint f(int);",
        "jumps": (
            "#include <csignal>\n#include <unistd.h>\n"
            "int f(int) { signal(SIGILL, [](int) { _exit(0); }); return 0; }"
        ),
        "has its own main": "int f(int) { return 0; }\nint main() { return 0; }",
        "defines the assertion": (
            "#define assert(x)\n#define main not_main\n"
            'extern "C" void __assert_fail(...) {}\nint f(int) { return 0; }'
        ),
        "prints what it reads": (
            "#include <unistd.h>\nchar b[64];\n"
            "struct S { S() { int n = read(0, b, 64); write(1, b, n); _exit(0); } } s;\n"
            "int f(int) { int n = read(0, b, 64); write(1, b, n); _exit(0); }"
        ),
    },
    "c": {
        "wrong": "int f(int x) { return 2; }",
        "exits": "#include <stdlib.h>\nint f(int x) { exit(0); }",
    },
    "java": {
        "wrong": "class Solution { public int f(int x) { return 2; } }",
        "exits": "class Solution { public int f(int x) { System.exit(0); return 0; } }",
        "halts at once": (
            "class Solution { static { Runtime.getRuntime().halt(0); }\n"
            "public int f(int x) { return 0; } }"
        ),
        "shadows": (
            "class Solution { public int f(int x) { return 0; } }\n"
            "class Arrays { static java.util.List<Boolean> asList(Object... x) {\n"
            "return java.util.List.of(); } }\n"
            "class AssertionError extends RuntimeException {}\n"
            "class Main { public static void main(String[] a) {} }\n"
            "class Report { public static void main(String[] a) {} }"
        ),
    },
    "rust": {
        "wrong": "fn f(x: i32) -> i32 { 2 }",
        "exits": "fn f(x: i32) -> i32 { std::process::exit(0) }",
        "shadows": (
            "macro_rules! assert_eq { ($($t:tt)*) => {} }\n"
            "macro_rules! assert { ($($t:tt)*) => {} }\nfn f(x: i32) -> i32 { 0 }"
        ),
        "prints success": (
            'fn f(x: i32) -> i32 { println!("test result: ok. 1 passed"); std::process::exit(0) }'
        ),
    },
    "go": {
        "wrong": "package main\nfunc F(x int) int { return 1 }",
        "exits": 'package main\nimport "os"\nfunc F(x int) int { os.Exit(0); return 1 }',
    },
    "bash": {
        "wrong": "echo 2",
        "kills": "kill -9 $PPID",
        "overwrites": "echo 'exit 0' > /box/tests.sh; echo 0",
    },
}
CASES = [(language, name) for language, attacks in ATTACKS.items() for name in attacks]


def verdict(judge_of, language, program):
    exam = EXAMS[language]
    judge = judge_of(language)
    return judge.judge(Exam(language, program, exam.tests, exam.remote, exam.reference))


@pytest.mark.parametrize("language", RIGHT)
def test_right_programs_pass(judge_of, language):
    result = verdict(judge_of, language, RIGHT[language])
    assert result.passed, result.detail


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize(("language", "attack"), CASES)
def test_attacks_fail(judge_of, language, attack):
    result = verdict(judge_of, language, ATTACKS[language][attack])
    assert result.result in {"failed", "compile", "time"}, result


@pytest.mark.parametrize(
    ("language", "program"),
    [("cpp", "int f("), ("rust", "fn f("), ("java", "class Solution {"), ("go", "func")],
)
def test_what_does_not_compile_is_told(judge_of, language, program):
    result = verdict(judge_of, language, program)
    assert result.result == "compile"
    assert result.detail


def test_compilers_are_bounded(judge_of):
    program = "template<int n> struct S { S<n + 1> next; int x = S<n + 1>().x; }; S<0> s;"
    assert verdict(judge_of, "cpp", program).result in {"compile", "memory", "time"}


def test_an_endless_program_is_out_of_time(judge_of):
    program = "int f(int x) { for (volatile int i = 0;;) i++; }"
    assert verdict(judge_of, "cpp", program).result == "time"


def test_a_judge_keeps_to_its_language(judge_of):
    with pytest.raises(ValueError, match="expected an exam in bash, got one in cpp"):
        judge_of("bash").judge(EXAMS["cpp"])
