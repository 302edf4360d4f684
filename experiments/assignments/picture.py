"""A plan as a picture: people as rows, tasks as bars."""

import pathlib

from hrm_jax.core.files import appearing_whole
from hrm_jax.planning.explaining import explain
from hrm_jax.planning.formats.times import end_text
from hrm_jax.planning.instance import Instance, tasks_by_id
from hrm_jax.planning.plan import Plan

_COLOUR = "#4c78a8"
_CRITICAL = "#e45756"
_DUE = "#111111"


def save_gantt(path: pathlib.Path, instance: Instance, plan: Plan) -> None:
    """Writes a Gantt chart as PNG: critical tasks in red, a black mark where a task is due."""
    # Loading it takes a tenth of a second, which plans without a picture do without.
    import matplotlib

    # Before pyplot is imported: other backends look for a display.
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    reasons = explain(instance, plan)
    tasks = tasks_by_id(instance)
    rows = [person.id for person in instance.people]
    figure, axes = plt.subplots(figsize=(10, max(2.0, 0.4 * len(rows) + 1)), dpi=120)
    for row, person in enumerate(rows):
        for one in plan.assignments:
            if person not in one.people or one.end == one.start:
                continue
            colour = _CRITICAL if reasons[one.task].critical else _COLOUR
            width = one.end - one.start
            axes.barh(row, width, left=one.start, height=0.7, color=colour, edgecolor="white")
            middle = one.start + width / 2
            axes.text(middle, row, one.task, ha="center", va="center", fontsize=7, clip_on=True)
            due = tasks[one.task].due
            if due is not None:
                axes.plot([due, due], [row - 0.4, row + 0.4], color=_DUE, linewidth=1.5)
    axes.set_yticks(range(len(rows)), rows)
    # matplotlib counts upwards; the first of the team stands on top, as in the tables.
    axes.invert_yaxis()
    ticks = [tick for tick in axes.get_xticks() if tick >= 0]
    axes.set_xticks(ticks, [end_text(instance, int(tick)) for tick in ticks], fontsize=7)
    axes.set_xlim(left=0)
    axes.set_title(f"plan by {plan.planner}; red: critical, black line: due", fontsize=9)
    figure.autofmt_xdate()
    figure.tight_layout()
    # The format is named, as the file is written under another name until it is whole.
    with appearing_whole(path) as file:
        figure.savefig(file, format="png")
    plt.close(figure)
