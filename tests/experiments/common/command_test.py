"""What a command's process says and ends with."""

import pytest
from absl import flags

from experiments.common import command
from tests import commands

PROGRAM = """
from absl import flags
from experiments.common import command
from hrm_jax.core.config import ConfigError

flags.DEFINE_string("end", None, "how")

def main():
    end = flags.FLAGS.end
    if end is not None:
        return eval(end) if end.isdigit() else raise_(eval(end))

def raise_(error):
    raise error

command.run(main, extras="codegen")
"""


def run(*arguments, **environment):
    return commands.run("-c", PROGRAM, *arguments, environment=environment)


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--end=0"], 0), (["--end=1"], 1)])
def test_the_exit_code_is_what_the_command_returns(arguments, status):
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("ConfigError('a', 'expected 1')", "error: a: expected 1"),
        (
            "FileNotFoundError(2, 'No such file or directory', 'x.csv')",
            "No such file or directory: 'x.csv'",
        ),
        ("ValueError('odd')", "error: odd (HRM_JAX_TRACEBACK=1 shows where)"),
        ("ModuleNotFoundError('No module named gguf')", "pip install 'hrm-jax[codegen]'"),
    ],
)
def test_foreseen_errors_are_a_message(error, message):
    done = run(f"--end={error}")
    assert done.returncode == command.REFUSED
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_traceback_is_there_for_those_who_ask():
    done = run("--end=ValueError('odd')", HRM_JAX_TRACEBACK="1")
    assert "Traceback" in done.stderr
    assert "in raise_" in done.stderr


def test_a_defect_has_its_traceback():
    done = run("--end=KeyError('odd')")
    assert done.returncode == 1
    assert "KeyError: 'odd'" in done.stderr


def test_what_is_no_flag_is_refused():
    done = run("end=0")
    assert done.returncode == command.REFUSED
    assert done.stderr == "error: unexpected arguments ['end=0']; flags start with --\n"


def test_a_home_folder_is_expanded_where_a_flag_is_a_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    values = flags.FlagValues()
    flags.DEFINE_string("run", None, "", flag_values=values)
    flags.DEFINE_list("files", [], "", flag_values=values)
    flags.DEFINE_integer("seed", 0, "", flag_values=values)
    flags.DEFINE_multi_string("prompt", None, "", flag_values=values)
    values(["program", "--run=~/x", "--files=~/a,b~/c", "--prompt=~/text", "--seed=3"])
    command.expand_home(values)
    assert values.run == "/home/me/x"
    assert values.files == ["/home/me/a", "b~/c"]
    assert (values.seed, values.prompt) == (3, ["~/text"])


def test_an_interrupt_is_no_traceback():
    done = run("--end=KeyboardInterrupt()")
    assert done.returncode == command.INTERRUPTED
    assert done.stderr == "interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiments.codegen", "--mode=foo"], "should be one of"),
        (["experiments.sudoku", "--mode=foo"], "should be one of"),
        (["experiments.convert", "--nosuch=1"], "Unknown command line flag 'nosuch'"),
        (["experiments.codegen", "--mode=generate"], "needs --prompt or --prompt_file; --help"),
        (["experiments.bench", "--suite=nonesuch"], "should be one of"),
        (["experiments.join_puzzles"], "expected a value of --out and --puzzles"),
    ],
)
def test_flags_that_are_wrong_are_refused(arguments, message):
    done = commands.run(*arguments)
    assert done.returncode == command.REFUSED
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert not done.stdout
    assert "Traceback" not in done.stderr


def test_what_is_logged_is_written_for_people():
    logged = (
        "import logging; logging.getLogger('hrm_jax.data').info('preparing');"
        "logging.getLogger('hrm_jax.data').warning('damaged');"
        "logging.getLogger('other').info('not shown')"
    )
    done = run(f"--end=exec({logged!r}) or SystemExit(0)")
    assert (done.returncode, done.stderr) == (0, "preparing\nwarning: damaged\n")
