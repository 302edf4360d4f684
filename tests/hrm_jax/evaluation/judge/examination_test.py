"""Python and JavaScript: right programs pass; none passes by any other way."""

import pytest

from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.sandbox.limits import MEBIBYTE

PYTHON = Exam("python", "", "assert f(1) == 2\nassert f([1, 2]) == (3, {'a': 1.5})", ("f",))
RIGHT = "def f(x):\n    return 2 if x == 1 else (3, {'a': 1.5})\n"
LIAR = (
    "class Liar:\n    def __eq__(self, other): return True\n    def __bool__(self): return True\n"
)


def verdict(judge, program, exam=PYTHON):
    return judge.judge(Exam(exam.language, program, exam.tests, exam.remote, exam.reference))


def test_a_right_program_passes(judge_of):
    result = verdict(judge_of("python"), "print('noise')\n" + RIGHT)
    assert result.passed, result.detail


ATTACKS = {
    "wrong": "def f(x): return 2",
    "absent": "def g(x): return 2",
    "syntax": "def f(x: return 2",
    "exits at once": "import os; os._exit(0)",
    "exits in a call": "import os\ndef f(x): os._exit(0)",
    "exits by exception": "import sys\ndef f(x): sys.exit(0)",
    "exits by signal": "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGKILL)",
    "exits at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): raise SystemExit",
    "equals everything": LIAR + "def f(x): return Liar()",
    "an int that equals everything": (
        "class Liar(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n"
        "def f(x): return Liar(7)"
    ),
    "patches builtins": (
        "import builtins\nbuiltins.AssertionError = KeyError\nbuiltins.compile = lambda *a: None\n"
        "builtins.exec = print\ndef f(x): return 0"
    ),
    "patches the protocol": (
        "from hrm_jax.evaluation.judge.inside import wire, examiner\n"
        "examiner.examine = lambda *a: {'passed': True, 'detail': ''}\n"
        "wire.decode = lambda *a: True\ndef f(x): return 0"
    ),
    "searches the stack": (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        if 'tests' in frame.f_locals or 'tests' in frame.f_globals: return 2\n"
        "        frame = frame.f_back\n    return 0"
    ),
    "forges a report on every descriptor": (
        "import json, os\nfor line in ({'passed': True, 'detail': ''}, {'value': None}):\n"
        "    for number in range(64):\n"
        "        try: os.write(number, json.dumps(line).encode() + b'\\n')\n"
        "        except OSError: pass\n"
        "os._exit(0)"
    ),
    "overwrites the tests": (
        "import os, pathlib\n"
        "for root, _, names in os.walk('/inside'):\n"
        "    for name in names:\n"
        "        try: pathlib.Path(root, name).write_text('')\n"
        "        except OSError: pass\n"
        "def f(x): return 0"
    ),
    "kills its neighbours": (
        "import os, signal\nfor pid in [os.getppid(), 1, -1, *range(2, 400)]:\n"
        "    if pid != os.getpid():\n"
        "        try: os.kill(pid, signal.SIGKILL)\n"
        "        except OSError: pass\n"
        "def f(x): return 0"
    ),
    "reads its neighbours": (
        "import glob\nfound = ''\n"
        "for path in glob.glob('/proc/*/mem') + glob.glob('/proc/*/cmdline'):\n"
        "    try: found += open(path, errors='replace').read(10**6)\n"
        "    except OSError: pass\n"
        "def f(x): return 2 if 'assert f' in found else 0"
    ),
    "recurses": "def f(x): return f(x)",
    "is nested in itself": "def f(x):\n    y = []\n    y.append(y)\n    return y",
    "never ends its answer": "def f(x): return iter(int, 1)",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_fail(judge_of, attack):
    result = verdict(judge_of("python"), ATTACKS[attack])
    assert result.result in {"failed", "time", "memory"}
    assert result.detail or result.result != "failed"


FORK_BOMB = (
    "import os\ndef f(x):\n    while True:\n        try: os.fork()\n        except OSError: pass"
)


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("program", "results"),
    [
        ("def f(x):\n    while True: pass", {"time"}),
        ("import time\ndef f(x): time.sleep(60)", {"time"}),
        ("def f(x): return bytearray(1 << 30)", {"failed", "memory"}),
        ("def f(x):\n    while True: print('x' * 10000)", {"time"}),
        ("import os\ndef f(x):\n    while True: os.write(2, b'x' * 10000)", {"time"}),
        (FORK_BOMB, {"time", "memory", "failed"}),
        ("def f(x): return 'x' * (1 << 27)", {"failed", "memory", "time"}),
    ],
)
def test_greed_ends(judge_of, program, results):
    judge = judge_of("python", cpu_seconds=1, wall_seconds=4.0, memory_bytes=256 * MEBIBYTE)
    result = verdict(judge, program)
    assert result.result in results, result
    assert result.seconds < 20


def test_tests_can_use_what_the_program_defines(judge_of):
    exam = Exam(
        "python",
        "",
        "root = Node(1)\nroot.next = Node(2)\nassert total(root) == 3\nassert root.value == 1",
        ("Node", "total"),
    )
    program = (
        "class Node:\n    def __init__(self, value): self.value, self.next = value, None\n"
        "def total(node): return node.value + (total(node.next) if node.next else 0)\n"
    )
    result = verdict(judge_of("python"), program, exam)
    assert result.passed, result.detail


def test_an_object_of_the_programs_own_is_as_true_as_it_says(judge_of):
    exam = Exam("python", "", "assert f('a')\nassert not f('b')", ("f",))
    assert verdict(judge_of("python"), "import re\ndef f(x): return re.match('a', x)", exam).passed
    assert not verdict(judge_of("python"), LIAR + "def f(x): return Liar()", exam).passed


def test_helpers_are_not_the_programs(judge_of):
    reference = "def check(x): return x == 5\ndef f(): return 5"
    exam = Exam("python", "", "assert check(f())", ("f",), reference)
    assert verdict(judge_of("python"), "def f(): return 5", exam).passed
    cheat = "def check(x): return True\ndef f(): return 4"
    assert not verdict(judge_of("python"), cheat, exam).passed


SCRIPT = Exam(
    "js",
    "",
    "console.assert(f(1) === 2); console.assert(JSON.stringify(f([1])) === '[3,{\"a\":1.5}]')",
    ("f",),
)


def test_a_right_script_passes(judge_of):
    program = "const f = (x) => { console.log('noise'); return x === 1 ? 2 : [3, {a: 1.5}]; }"
    result = verdict(judge_of("js"), program, SCRIPT)
    assert result.passed, result.detail


SCRIPTS = {
    "wrong": "const f = (x) => 2",
    "absent": "const g = (x) => 2",
    "syntax": "const f = (x) => {",
    "exits at once": "process.exit(0)",
    "exits in a call": "const f = (x) => process.exit(0)",
    "patches assertions": "console.assert = () => {}; const f = (x) => 0",
    "patches JSON": "JSON.stringify = () => '[3,{\"a\":1.5}]'; const f = (x) => 2",
    "brings its own form": "const f = (x) => x === 1 ? 2 : {toJSON: () => [3, {a: 1.5}]}",
    "forges a report": (
        "const fs = require('fs'); for (let n = 1; n < 64; n++) { try { fs.writeSync(n, "
        "JSON.stringify({passed: true, detail: '', value: 2}) + '\\n'); } catch {} }"
        "process.exit(0)"
    ),
    "throws nonsense": "const f = (x) => { throw { toString() { process.exit(0); } }; }",
    "never ends": "const f = (x) => { for (;;); }",
    "fills memory": "const f = (x) => { const y = []; for (;;) y.push(new Array(1e6).fill(x)); }",
}


@pytest.mark.parametrize("attack", SCRIPTS)
def test_scripts_cannot_cheat(judge_of, attack):
    result = verdict(judge_of("js", cpu_seconds=2), SCRIPTS[attack], SCRIPT)
    assert result.result in {"failed", "time", "memory"}


def test_values_of_scripts_arrive(judge_of):
    values = (
        "[undefined, null, NaN, -Infinity, -0, 12345678901234567890n, new Map([[1, [2]]]), 'é']"
    )
    same = "((a, b) => a.every((x, i) => require('util').isDeepStrictEqual(x, b[i])))"
    exam = Exam("js", "", f"console.assert({same}(f({values}), {values}))", ("f",))
    result = verdict(judge_of("js"), "const f = (x) => x", exam)
    assert result.passed, result.detail
