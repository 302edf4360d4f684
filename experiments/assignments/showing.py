"""A plan on the terminal: who does what, when and why, in 80 columns."""

import datetime
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from experiments.common.terminal import Table
from hrm_jax.planning.checker import Violation
from hrm_jax.planning.explaining import Reason, Risk
from hrm_jax.planning.formats.times import end_text, start_text
from hrm_jax.planning.instance import Instance, tasks_by_id
from hrm_jax.planning.objectives import Costs, Weights, loads
from hrm_jax.planning.plan import Plan

_BAR = 40
_TITLE = 24


def plan_table(instance: Instance, plan: Plan) -> Table:
    """Returns the assignments in the order of their starts."""
    table = Table(title=f"plan by {plan.planner}")
    for name in ("task", "people", "starts", "ends", "title"):
        table.add_column(name, no_wrap=True)
    tasks = tasks_by_id(instance)
    for one in sorted(plan.assignments, key=lambda one: (one.start, one.end)):
        title = tasks[one.task].title
        short = title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
        # A duration that nobody estimated is told apart wherever its task is named.
        mark = "~" if tasks[one.task].estimated else ""
        table.add_row(
            one.task + mark,
            ", ".join(one.people),
            start_text(instance, one.start),
            end_text(instance, one.end),
            short,
        )
    return table


def bars(instance: Instance, plan: Plan) -> Text:
    """Returns a line for each person: busy and free time, and the share that is busy."""
    last = max((one.end for one in plan.assignments), default=0)
    first = min((one.start for one in plan.assignments), default=0)
    span = max(last - first, 1)
    held = loads(instance, plan)
    text = Text()
    for person in instance.people:
        cells = [" "] * _BAR
        for one in plan.assignments:
            if person.id in one.people and one.end > one.start:
                begin = (one.start - first) * _BAR // span
                # A task shorter than a column shows nevertheless.
                end = max((one.end - first) * _BAR // span, begin + 1)
                cells[begin:end] = "█" * (min(end, _BAR) - begin)
        share = held[person.id] / span
        text.append(f"{person.id[:20]:<20} |{''.join(cells)[:_BAR]}| {share:4.0%}\n")
    return text


def show_reasons(console: Console, reasons: Mapping[str, Reason]) -> None:
    """Prints why each task is done by whom."""
    for task, reason in reasons.items():
        console.print(f"{task}: {reason.text()}", highlight=False)


def show_risks(console: Console, risks: list[Risk]) -> None:
    """Prints what may go wrong."""
    for risk in risks:
        console.print(f"risk ({risk.kind}): {risk.text}", style="yellow", highlight=False)


def show_violations(console: Console, violations: tuple[Violation, ...]) -> None:
    """Prints the rules that a plan breaks."""
    for violation in violations:
        console.print(f"broken: {violation}", style="red", highlight=False)


def cost_line(instance: Instance, plan: Plan, costs: Costs, weights: Weights) -> str:
    """Returns what a plan costs, and how near to the best that is."""
    parts = [f"makespan {costs.makespan} ticks"]
    if instance.days is not None and plan.assignments:
        done = instance.days.end_moment(max(one.end for one in plan.assignments))
        parts.append(f"done {_day(done)}")
    parts += [f"tardiness {costs.tardiness}", f"imbalance {costs.balance}"]
    parts += [f"changes {costs.changes}"] if costs.changes else []
    total = costs.total(weights)
    if plan.proven:
        parts.append(f"cost {total}, proven the least")
    elif plan.bound is not None:
        parts.append(f"cost {total}, at least {plan.bound:g}")
    else:
        parts.append(f"cost {total}")
    return ", ".join(parts)


def changes_table(old: Plan, new: Plan) -> Table | None:
    """Returns what differs between two plans, or None."""
    table = Table(title="changes")
    for name in ("task", "people before", "people now", "start before", "start now"):
        table.add_column(name)
    before, now = old.by_task(), new.by_task()
    # Tasks of either plan, each once, in the order of the old one.
    for task in dict.fromkeys([*before, *now]):
        one, other = before.get(task), now.get(task)
        if (
            one is None
            or other is None
            or (one.start, set(one.people))
            != (
                other.start,
                set(other.people),
            )
        ):
            table.add_row(
                task,
                "" if one is None else ", ".join(one.people),
                "gone" if other is None else ", ".join(other.people),
                "new" if one is None else str(one.start),
                "" if other is None else str(other.start),
            )
    return table if table.row_count else None


def _day(moment: datetime.datetime) -> str:
    return f"{moment:%a %d %b %Y %H:%M}"
