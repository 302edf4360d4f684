"""`--mode=train`, and the command without flags: trains the planner's model."""

import json

from absl import flags
from rich.console import Console

from experiments.common import config_flags, curves, terminal
from experiments.common.runs import STOPPED_BY_SIGNAL, is_stopped, run_folder, train_in_sight
from hrm_jax.convert.model_folder import save_model
from hrm_jax.core.config import replace
from hrm_jax.core.files import write_atomically
from hrm_jax.core.mesh import fetch, make_mesh
from hrm_jax.planning.plan_graph import RELATIONS
from hrm_jax.tasks.planning.task import PlannerConfig, PlannerTask
from hrm_jax.training.run_folder import read_config
from hrm_jax.training.run_log import read_metrics

MODEL = "model"
"""The folder in a run's folder that the trained model is exported to."""

_PLANNER = PlannerConfig(description="HRM over tasks and candidates: 25 minutes on two CPU cores")
PRESETS = {
    "planner": _PLANNER,
    "no_precedence": replace(
        _PLANNER,
        {
            "description": "the same without the relations of precedence, to see what they add",
            "model.relations": tuple(r for r in RELATIONS if r not in ("before", "after")),
        },
    ),
    "minute": replace(
        _PLANNER,
        {
            "description": "a tiny run, to see everything work",
            "examples.problems": 20,
            "examples.held_out": 4,
            "examples.most_tasks": 20,
            "examples.tries": 200,
            "tasks": 32,
            "model.hidden_size": 16,
            "batch_size": 4,
            "loop.steps": 40,
            "loop.log_every": 10,
            "loop.evaluate_every": 40,
            "loop.checkpoint_every": 20,
            "measured_tries": 60,
        },
    ),
}
"""Configurations by name, as `--preset` takes it."""

_PANELS = (
    curves.Panel("loss", ("loss",)),
    curves.Panel("distance of starts", ("error", "distance")),
    curves.Panel("cheaper than restarts", ("gain",)),
)
_AVERAGES = {"loss": "loss {:.3f}", "error": "error {:.3f}", "gain": "gain {:.2%}"}


def train(values: flags.FlagValues, console: Console) -> int:
    """Trains in `--run`, exports the model there, and says how to use it; returns the exit code."""
    folder = run_folder("planner", values.run, resume=values.resume)
    # A resumed run goes on by the configuration it was begun with.
    config = config_flags.resolve(read_config(folder, PlannerConfig) if values.resume else None)
    task = PlannerTask(config)
    # Solved here for the line of progress: the run finds them in files when it loads its data.
    total = config.examples.problems + config.examples.held_out
    with terminal.counting_progress(console, "solving", total) as solved:
        task.solve_examples(solved)
    shown = terminal.Shown("graphs", config.batch_size, _AVERAGES)
    state = train_in_sight(
        task, folder, console, shown, _PANELS, config.description, resume=values.resume
    )
    # A model is exported at the end alone.
    if is_stopped(task, state):
        return STOPPED_BY_SIGNAL
    variables = fetch(state.averaged_variables, make_mesh(config.mesh))
    save_model(folder / MODEL, config, variables)
    # The loop has just measured the state that is exported, so it is not measured again.
    newest = [record for record in read_metrics(folder) if record["split"] == "validation"][-1]
    report = {name: newest[name] for name in ("gain", "better", "worse")}
    write_atomically(folder / "report.json", json.dumps(report, indent=2) + "\n")
    console.print(
        f"held-out problems, {config.measured_tries} plans tried for each: "
        f"{report['gain']:.2%} cheaper than restarts on the mean, "
        f"{report['better']:.0%} better, {report['worse']:.0%} worse",
        soft_wrap=True,
    )
    console.print(
        "\nNext: python -m experiments.assignments --planner=hrm "
        f"--checkpoint={folder / MODEL} --backlog=... --team=...",
        soft_wrap=True,
    )
    return 0
