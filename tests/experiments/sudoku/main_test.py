"""The command as its users run it: train, eval and solve."""

import csv
import dataclasses
import gzip
import json
import re

import pytest

from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.source import load_source
from hrm_jax.training.run_log import read_metrics

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SCHEDULE = [
    "--config.loop.steps=6",
    "--config.loop.log_every=2",
    "--config.loop.evaluate_every=3",
    "--config.loop.checkpoint_every=3",
]
MEASURES = ("count", "cell_accuracy", "exact_accuracy", "valid_share", "mean_steps")


@pytest.fixture(scope="module")
def trained(sudoku):
    """The finished command, and the folder that it was told to train in."""
    folder = sudoku.folder / "trained"
    # From nothing, as users start it.
    done = sudoku.run(*sudoku.tiny, *SCHEDULE, f"--run={folder}", forked=False)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_a_run_leaves_everything_in_its_folder(trained):
    _, folder = trained
    assert json.loads((folder / "config.json").read_text())["model"]["hidden_size"] == 16
    assert "packages" in json.loads((folder / "environment.json").read_text())
    records = [(record["step"], record["split"]) for record in read_metrics(folder)]
    assert [step for step, split in records if split == "train"] == [2, 4, 6]
    assert [step for step, split in records if split == "validation"] == [3, 6]
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())] == [
        "step_00000003",
        "step_00000006",
    ]
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "report.json").read_text())["count"] == 12


def test_a_run_tells_how_it_goes_what_came_out_and_what_is_next(trained):
    done, folder = trained
    assert f"training in {folder}: a tiny HRM" in done.stdout
    assert re.findall(r"^step (\d)/6: \d+%, .*loss \d", done.stdout, re.MULTILINE) == [
        "2",
        "4",
        "6",
    ]
    assert "bank, test split" in done.stdout
    assert re.search(r"│ all +│ +\d+\.\d\d% │ +\d+\.\d-\d+\.\d │ +12 │", done.stdout)
    assert "A held-out puzzle of rating" in done.stdout
    assert len(re.findall(r"^(?:[1-9.] ){3}\| ", done.stdout, re.MULTILINE)) == 2 * 9
    assert f"--mode=solve --checkpoint={folder}" in done.stdout


def test_a_run_keeps_the_libraries_quiet(trained):
    done, _ = trained
    assert "orbax" not in done.stderr
    assert "Traceback" not in done.stderr


def test_eval_ends_with_a_line_of_json(sudoku, trained):
    _, folder = trained
    done = sudoku.run("--mode=eval", f"--checkpoint={folder}", "--puzzles=12")
    assert done.returncode == 0, done.stderr
    assert "checkpoint of step 6" in done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    assert report.keys() == {*MEASURES, "puzzles_per_second", "by_rating"}
    assert report["puzzles_per_second"] > 0
    bands = report["by_rating"].values()
    assert all(band.keys() == {*MEASURES, "puzzles_per_second"} for band in bands)
    assert sum(band["count"] for band in bands) == report["count"] == 12
    # The run measured the same puzzles with the same weights.
    training = json.loads((folder / "report.json").read_text())
    assert {name: report[name] for name in MEASURES} == {name: training[name] for name in MEASURES}


def test_eval_measures_every_row_of_a_file(sudoku, trained):
    _, folder = trained
    source = load_source("bank", "validation", sudoku.data)
    path = sudoku.folder / "ten.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "question", "answer", "rating", "grid_class"])
        for row in range(10):
            grids = (rules.decode(array[row]) for array in (source.inputs, source.labels))
            writer.writerow(["bank", *map(rules.format_grid, grids), row, "0123"])
    checkpoint = folder / "checkpoints" / "step_00000003"
    done = sudoku.run("--mode=eval", f"--checkpoint={checkpoint}", f"--data={path}")
    assert done.returncode == 0, done.stderr
    assert "checkpoint of step 3" in done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["count"] == 10
    counts = {name: band["count"] for name, band in report["by_rating"].items()}
    assert counts == {"0": 1, "1-2": 2, "3-5": 3, "6-10": 4}


@pytest.mark.thorough
def test_eval_spends_what_the_flags_say(sudoku, trained):
    _, folder = trained
    evaluate = ("--mode=eval", f"--checkpoint={folder}", "--puzzles=12", "--max_steps=3")
    done = sudoku.run(*evaluate, "--search_attempts=2", "--search_noise=0.5")
    assert done.returncode == 0, done.stderr
    assert "bank, test split, single pass" in done.stdout
    assert "up to 2 further attempts" in done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["mean_steps"] == 3  # an untrained model finds nothing
    assert report["search"]["mean_steps"] == 9
    done = sudoku.run(*evaluate, "--halting=steps")
    assert json.loads(done.stdout.splitlines()[-1]).keys() == report.keys() - {"search"}


def test_eval_refuses_what_cannot_be(sudoku, trained):
    _, folder = trained
    done = sudoku.run("--mode=eval", f"--checkpoint={folder}", "--search_attempts=-1")
    assert_refused(done, "error: search.attempts: expected 0 or more, got -1")


def test_solve_of_an_untrained_model_is_1_not_solved(sudoku, trained):
    _, folder = trained
    done = sudoku.run("--mode=solve", f"--checkpoint={folder}", "--puzzle=-", text=PUZZLE)
    assert done.returncode == 1, done.stderr
    assert "step 1: " in done.stdout
    assert "not solved" in done.stdout


def test_solve_spends_what_the_flags_say(sudoku, trained):
    _, folder = trained
    flags = ("--search_attempts=2", "--search_noise=0.5", "--search_max_steps=1")
    done = sudoku.run("--mode=solve", f"--checkpoint={folder}", f"--puzzle={PUZZLE}", *flags)
    assert done.returncode == 1, done.stderr
    assert "not solved in 3 attempts" in done.stdout


def test_solve_draws_what_was_thought(sudoku, trained):
    _, folder = trained
    picture = sudoku.folder / "steps.html"
    flags = (f"--checkpoint={folder}", "--puzzle=-", f"--render={picture}")
    done = sudoku.run("--mode=solve", *flags, text=f"{PUZZLE}\n" * 2)
    assert done.returncode == 1, done.stderr
    assert "Puzzle 2: 30 givens, rating 0" in picture.read_text(encoding="utf-8")
    assert f"picture: {picture}" in done.stdout


def assert_refused(done, message):
    assert done.returncode == 2, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_solve_of_a_bad_puzzle_is_2(sudoku):
    message = r"^error: --puzzle: 1 unusable puzzle\(s\):\n  line 1: equal digits share .* r1c1=5"
    assert_refused(sudoku.run("--mode=solve", f"--puzzle=55{PUZZLE[2:]}"), message)


def test_solve_into_no_known_picture_is_2_before_anything_is_loaded(sudoku):
    done = sudoku.run("--mode=solve", f"--puzzle={PUZZLE}", "--render=steps.svg")
    assert_refused(done, r"^error: expected a picture named \*\.html, .* got 'steps\.svg'")


def test_solve_without_a_puzzle_is_2(sudoku):
    assert_refused(sudoku.run("--mode=solve"), "--mode=solve needs --puzzle")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--mode=eval", "--config.model.halt_max_steps=3"), "eval does not read --config.model"),
        (("--mode=eval", "--config.mesh.data=1"), "eval does not read --config.mesh"),
        (("--mode=export", "--skip_bad"), "export does not read --skip_bad"),
        (("--mode=solve", "--halting=steps"), "solve does not read --halting, only eval does"),
        (("--mode=train", "--checkpoint=x"), "only eval, solve, export does"),
    ],
)
def test_flags_that_would_change_nothing_are_refused(sudoku, flags, message):
    assert_refused(sudoku.run(*flags), message)


def test_eval_measures_with_the_changes_that_the_flags_say(sudoku, trained):
    _, folder = trained
    evaluate = ("--mode=eval", f"--checkpoint={folder}", "--config.test.puzzles=4")
    report = json.loads(sudoku.run(*evaluate, "--config.test.max_steps=5").stdout.splitlines()[-1])
    assert report["mean_steps"] == 5
    assert report["count"] == 4


@pytest.mark.thorough
def test_a_run_on_a_small_file_is_measured_on_what_it_held_out_and_knows_its_file(sudoku):
    source = load_source("bank", "train", sudoku.data)
    puzzles = [rules.format_grid(rules.decode(row)) for row in source.inputs[:40]]
    begun_in = sudoku.folder / "begun_in"
    begun_in.mkdir()
    path = begun_in / "forty.txt"
    path.write_text("\n".join(["# forty", *puzzles, "53..7"]))
    there = dataclasses.replace(sudoku, folder=begun_in)
    run = begun_in / "run"
    flags = (*sudoku.tiny, *SCHEDULE, "--data=forty.txt", "--run=run")
    assert_refused(there.run(*flags), r"error: .*forty\.txt: 1 unusable.*\n  line 42: ")
    done = there.run(*flags, "--skip_bad")
    assert done.returncode == 0, done.stderr
    assert "skipped; 40 puzzle(s) are left" in done.stderr
    assert json.loads((run / "report.json").read_text())["count"] == 4
    # The path leads to the file from any folder.
    done = sudoku.run("--mode=eval", f"--checkpoint={run}")
    assert done.returncode == 0, done.stderr
    assert "csv, validation split" in done.stdout
    path.write_text("\n".join(puzzles[1:]))
    done = sudoku.run("--resume", f"--run={run}", "--config.loop.steps=8")
    assert_refused(done, "error: the training data are not those .* add --accept_changed_data")


def test_a_folder_is_used_once(sudoku, trained):
    _, folder = trained
    again = sudoku.run(*sudoku.tiny, f"--run={folder}")
    assert_refused(again, r"error: .* holds a run already; add --resume")


def test_without_a_run_there_is_nothing_to_go_on_with(sudoku):
    assert_refused(sudoku.run("--resume"), "error: expected a run below runs, found none")


def test_without_a_checkpoint_the_shipped_model_is_used(sudoku):
    done = sudoku.run("--mode=solve", f"--puzzle={PUZZLE}")
    assert done.returncode == 0, done.stderr
    assert "solved at step" in done.stdout


def test_a_model_is_exported_with_changes_to_its_config(sudoku, trained):
    _, folder = trained
    out = sudoku.folder / "model"
    flags = ("--mode=export", f"--checkpoint={folder}", f"--out={out}", "--config.test.puzzles=3")
    done = sudoku.run(*flags)
    assert done.returncode == 0, done.stderr
    assert "of the checkpoint of step 6" in done.stdout
    assert json.loads((out / "config.json").read_text())["test"]["puzzles"] == 3
    done = sudoku.run("--mode=eval", f"--checkpoint={out}", "--puzzles=4")
    assert "measuring an exported model" in done.stdout
    assert_refused(sudoku.run(*flags[:2]), "--mode=export needs --out")


def test_an_unknown_data_set_is_refused(sudoku):
    assert_refused(sudoku.run("--data=bnk"), "--data expects a file or one of .*, got 'bnk'")


def test_a_folder_below_a_file_is_refused_before_anything_else(sudoku):
    (sudoku.folder / "file").write_text("")
    done = sudoku.run(*sudoku.tiny, "--run=file/run")
    assert_refused(done, "error: expected a writable folder at .*file/run")
    assert "step" not in done.stdout


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--preset=minutes", "value should be one of <relational|quick|minute|"),
        ("--config.model.hiden_size=8", "the nearest is model.hidden_size"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(sudoku, flag, message):
    done = sudoku.run(flag)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
