"""Training on several sizes as a command: it exports a model, and goes on."""

from experiments.sudoku import exported
from hrm_jax.training.run_log import read_metrics
from tests import commands


def train(folder, *flags):
    return commands.run("experiments.train_sizes", f"--run={folder}", *flags)


def test_a_run_exports_its_model_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    tiny = ("--config.boxes=('2x2',)", "--config.rows=(4,)", "--config.held_out=4")
    tiny += ("--config.puzzles=8", "--config.loop.evaluate_every=2", "--config.loop.log_every=1")
    done = train(folder, "--preset=minute", *tiny, "--config.loop.steps=2")
    assert done.returncode == 0, done.stderr
    assert f"--checkpoint={folder}/model" in done.stdout.replace("\n", "")
    task, _ = exported.load(folder / "model")
    assert task.config.model.hidden_size == 16
    done = train(folder, "--resume", "--config.loop.steps=3")
    assert done.returncode == 0, done.stderr
    measured = [row for row in read_metrics(folder) if row["split"] == "validation"]
    assert [row["step"] for row in measured] == [2, 3]
    assert 0 <= measured[-1]["exact_4"] <= 1
    assert (folder / "curves.png").exists()


def test_sizes_and_rows_that_do_not_fit_are_refused(tmp_path):
    done = train(tmp_path / "run", "--preset=minute", "--config.rows=(1,)")
    assert done.returncode == 2
    assert "rows: expected one number for each of the boxes" in done.stderr
    assert "Traceback" not in done.stderr
