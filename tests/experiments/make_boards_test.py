"""Puzzles of any size as a command, and what it does not make."""

from hrm_jax.data.sudoku.board_files import board_of, read_boards, side_of
from tests import commands


def make(*arguments):
    return commands.run("experiments.make_boards", *arguments)


def test_a_file_that_solve_reads(tmp_path):
    path = tmp_path / "twelve.txt"
    flags = ["--box=3x4", "--grade=pairs", "--count=3", f"--out={path}"]
    done = make(*flags)
    assert done.returncode == 0, done.stderr
    assert "3 puzzles, 12x12 with boxes of 3x4, pairs, " in done.stdout
    text = path.read_text()
    assert side_of(text) == 12
    assert read_boards(text, board_of(12, (3, 4)), "twelve").shape == (3, 144)
    make(*flags)
    assert path.read_text() == text


def test_what_cannot_be_made_is_told(tmp_path):
    for flags, message in (
        (["--box=6x6"], "--box: expected rows x columns of a box with at most 25 cells"),
        (["--box=2x2", "--grade=guesses"], "4x4 with boxes of 2x2: no puzzle of grade guesses"),
    ):
        done = make(*flags, f"--out={tmp_path}/x.txt")
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
