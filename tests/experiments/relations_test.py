"""Latin squares and colourings as a command: train, measure, and puzzles of another size."""

import json

from tests import commands


def run(*flags):
    return commands.run("experiments.relations", *flags)


TINY = (
    *("--config.loop.steps=2", "--config.loop.evaluate_every=2", "--config.puzzles=4"),
    *("--config.validated=2", "--config.test.puzzles=4", "--config.test.max_steps=2"),
    *("--config.test.search.max_steps=2", "--config.test.batch_size=16"),
)


def test_a_run_is_measured_beside_those_who_know_nothing(tmp_path):
    folder = tmp_path / "run"
    done = run("--preset=latin_minute", f"--run={folder}", *TINY, "--config.latin.order=4")
    assert done.returncode == 0, done.stderr
    assert "exact method: 100.0%" in done.stdout
    report = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert set(report) == {"count", "trained", "untrained", "uniform"}
    assert report["uniform"]["single"]["solved"] == 0
    assert report["uniform"]["search"]["solved"] == 1
    assert (folder / "curves.png").exists()
    other = ("--config.latin.order=5", "--proposers=uniform")
    done = run("--mode=eval", f"--checkpoint={folder}", *other)
    assert done.returncode == 0, done.stderr
    assert "Latin(order=5" in done.stdout


def test_what_is_wrong_is_told(tmp_path):
    for flags, message in (
        (["--mode=eval", "--proposers=best"], "--proposers: expected some of trained, untrained"),
        (["--mode=eval", f"--checkpoint={tmp_path}"], "expected a run in"),
        (["--proposers=uniform"], "--mode=train does not read --proposers"),
        (["--preset=latin", "--config.latin.order=1"], "latin.order"),
    ):
        done = run(*flags)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
