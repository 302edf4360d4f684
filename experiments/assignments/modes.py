"""The modes of the command and their flags."""

import copy
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

from absl import flags
from rich.console import Console

from experiments.assignments import (
    efficiency,
    evaluation,
    forecasting,
    mode_flags,
    showing,
    splitting,
    supposing,
)
from experiments.assignments.page import write_page
from experiments.assignments.picture import save_gantt
from experiments.assignments.planners import PlannerOptions, make_planner
from experiments.assignments.reading import read_instance, read_plan
from experiments.assignments.template import write_drawn, write_template
from experiments.common import command, process
from experiments.common.terminal import live_line, make_console, waiting
from hrm_jax.core.config import check
from hrm_jax.core.files import write_atomically
from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import compile_search
from hrm_jax.planning.errors import NoPlanError
from hrm_jax.planning.explaining import Risk, explain, find_risks
from hrm_jax.planning.foreseeing import foresee
from hrm_jax.planning.formats import benchmarks
from hrm_jax.planning.formats.plans import WRITERS, write_markdown
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.objectives import Weights, measure
from hrm_jax.planning.plan import Budget, Plan, Planner, prepare

_REPLAN_CHANGE_WEIGHT = 4


def define_flags(argv: Sequence[str]) -> None:
    """Defines the command's flags; those of a configuration only where `argv` asks to train."""
    mode_flags.define(list(MODES))
    # Read twice, as planning does without what training imports.
    asked = copy.deepcopy(flags.FLAGS)
    command.parse_flags(argv, asked, known_only=True)
    if chosen(asked) is train:
        process.keep_heap()
        process.keep_lapack_to_one_thread()
        from experiments.assignments import training
        from experiments.common import config_flags

        config_flags.define(training.PRESETS, default="planner", argv=argv)


def chosen(values: flags.FlagValues) -> Callable[[flags.FlagValues], int]:
    """Returns the function that does what the flags ask for, and returns the exit code."""
    if values.template:
        return make_template
    if values.draw:
        return draw
    if values.split:
        return splitting.split_stories
    # The mode is None where it was not given: a file then tells that somebody wants a plan.
    named = values.backlog or values.team
    return MODES[values.mode or ("plan" if named else "train")]


def plan_backlog(values: flags.FlagValues) -> int:
    """Plans, shows the plan and writes it."""
    instance = read_instance(values)
    plan = _planned(values, instance, None)
    return _show(values, instance, plan, None)


def replan(values: flags.FlagValues) -> int:
    """Plans again with few changes to the last plan, and shows them."""
    _require(values, "last", "the plan before")
    instance = read_instance(values)
    last = read_plan(pathlib.Path(values.last), instance)
    plan = _planned(values, instance, last)
    code = _show(values, instance, plan, last)
    table = showing.changes_table(last, plan)
    make_console(markup=False).print(table if table else "nothing changes")
    return code


def judge(values: flags.FlagValues) -> int:
    """Judges a plan made by hand; returns 1 where it breaks a rule."""
    _require(values, "plan", "a plan")
    instance = read_instance(values)
    given = read_plan(pathlib.Path(values.plan), instance)
    console = make_console(markup=False)
    violations = check_plan(instance, given)
    showing.show_violations(console, violations)
    weights = _weights(values, None)
    # Ours is shown in any case: it tells what a plan that breaks no rule costs.
    ours = _planned(values, instance, None)
    if not violations:
        costs = measure(instance, given)
        console.print(f"given: {showing.cost_line(instance, given, costs, weights)}")
    console.print(f"ours:  {showing.cost_line(instance, ours, measure(instance, ours), weights)}")
    console.print("no rule is broken" if not violations else f"{len(violations)} rules are broken")
    return 1 if violations else 0


def forecast(values: flags.FlagValues) -> int:
    """Tells when the plan of the backlog, or --plan, will be done, as a distribution."""
    instance = read_instance(values)
    if values.plan:
        plan = read_plan(pathlib.Path(values.plan), instance)
        violations = check_plan(instance, plan)
        # The simulation keeps the plan's people and orders, so these have to keep the rules.
        if violations:
            raise NoPlanError(
                f"{values.plan}: expected a plan that keeps all rules, got one that breaks "
                f"{len(violations)}: {violations[0]}; --mode=check tells all"
            )
    else:
        plan = _planned(values, instance, None)
    history = pathlib.Path(values.history) if values.history else None
    # Standard output is for the answer alone, so what tells of waiting goes to standard error.
    with waiting(make_console(stderr=True, file=None), "simulating"):
        _, found = forecasting.make_forecast(instance, plan, history, values.samples, values.seed)
    console = make_console(markup=False)
    forecasting.show_forecast(console, found)
    for name in values.out:
        forecasting.write_forecast(pathlib.Path(name), found)
        console.print(f"wrote {name}")
    return 0


def what_if(values: flags.FlagValues) -> int:
    """Plans as it is and with the changes that flags say, and says what they change."""
    instance = read_instance(values)
    other = supposing.changed(
        instance,
        with_person=values.with_person,
        without_person=values.without_person,
        due=values.due,
        without_task=values.without_task,
    )
    console = make_console(markup=False)
    weights = _weights(values, None)
    plans = []
    # The same planner, seed and budget for both, so that the change alone differs.
    for name, one in (("as it is", instance), ("what if", other)):
        plan = _planned(values, one, None)
        line = showing.cost_line(one, plan, measure(one, plan), weights)
        console.print(f"{name}: {line}", soft_wrap=True, highlight=False)
        plans.append(plan)
    # Each by its own due dates, which a change may have moved.
    late = supposing.late_tasks(instance, plans[0]), supposing.late_tasks(other, plans[1])
    for told, tasks in (("late no more", late[0] - late[1]), ("late now", late[1] - late[0])):
        if tasks:
            console.print(f"{told}: {', '.join(sorted(tasks))}", soft_wrap=True, highlight=False)
    return 0


def evaluate(values: flags.FlagValues) -> int:
    """Measures a planner; ends with one line of JSON on standard output."""
    _require(values, "instances", "a folder or an archive")
    _require(values, "best", "a CSV file")
    texts = benchmarks.read_collection(pathlib.Path(values.instances))
    best = benchmarks.read_best(pathlib.Path(values.best))
    names = benchmarks.spread_evenly(list(texts), values.limit)
    planner = make_planner(values.planner, Weights(), _options(values))
    # A budget of iterations repeats a measurement exactly, one of seconds depends on the machine.
    budget = _budget(values)
    # What a result depends on: a line of the file of results counts only where all of it is the
    # same. Threads count for the exact planner alone, so others keep their results when they
    # change.
    settings = {
        "planner": values.planner,
        "limit_seconds": budget.seconds,
        "iterations": budget.iterations,
        "seed": values.seed,
        "workers": values.workers if "exact" in values.planner else None,
    }
    if "hrm" in values.planner:
        settings |= {"checkpoint": values.checkpoint, "ablation": values.ablation}
    console = make_console(stderr=True, file=None, markup=False)
    _compile(console)
    with live_line(console, values.planner, len(names)) as line:
        found = evaluation.measure(
            {name: texts[name] for name in names},
            planner,
            budget,
            seed=values.seed,
            results=pathlib.Path(values.results) if values.results else None,
            settings=settings,
            tell=lambda done, one: line.update(done, [one.instance, f"makespan {one.makespan}"]),
        )
    figures = evaluation.summary(found, best)
    if values.against:
        figures |= evaluation.compare(found, pathlib.Path(values.against), best)
    print(json.dumps(figures))
    return 0


def measure_gain(values: flags.FlagValues) -> int:
    """Measures a planner against first come, first served; ends with one line of JSON."""
    planner = make_planner(values.planner, _weights(values, None), _options(values))
    console = make_console(stderr=True, file=None, markup=False)
    _compile(console)
    found = efficiency.measure_efficiency(values, planner, _budget(values), console)
    efficiency.print_figures(found)
    return 0


def train(values: flags.FlagValues) -> int:
    """Trains the planner's model."""
    # JAX and Flax take a second to load, which planning does without.
    from experiments.assignments import training

    return training.train(values, make_console(markup=False))


def make_template(values: flags.FlagValues) -> int:
    """Writes the example, and says how to plan it."""
    team, backlog = write_template(pathlib.Path(values.template))
    print(f"wrote {team} and {backlog}; plan them by")
    print(f"python -m experiments.assignments --backlog={backlog} --team={team}")
    return 0


def draw(values: flags.FlagValues) -> int:
    """Writes a drawn backlog and its team, and says how to plan them."""
    team, backlog = write_drawn(pathlib.Path(values.draw), values.size, values.seed)
    print(f"wrote {team} and {backlog}; plan them by")
    print(
        f"python -m experiments.assignments --backlog={backlog} --team={team} --planner=dispatch "
        "--noreasons"
    )
    return 0


MODES: Mapping[str, Callable[[flags.FlagValues], int]] = {
    "plan": plan_backlog,
    "check": judge,
    "replan": replan,
    "whatif": what_if,
    "forecast": forecast,
    "eval": evaluate,
    "efficiency": measure_gain,
    "train": train,
}


def _require(values: flags.FlagValues, name: str, what: str) -> None:
    given = values[name].value
    check(bool(given), name, expected=what, got=given, remedy=f"add --{name}=FILE")


def _budget(values: flags.FlagValues) -> Budget:
    # --iterations alone sets no limit of time, as the clock would make a plan differ between runs.
    seconds = values.seconds or None
    if seconds is None and values.iterations is None:
        seconds = 10.0
    return Budget(seconds=seconds, iterations=values.iterations)


def _weights(values: flags.FlagValues, last: Plan | None) -> Weights:
    changes = values.changes
    if changes is None:
        # Without a plan before there is nothing to keep to.
        changes = 0 if last is None else _REPLAN_CHANGE_WEIGHT
    return Weights(
        makespan=values.makespan,
        tardiness=values.tardiness,
        balance=values.balance,
        changes=changes,
    )


def _planned(values: flags.FlagValues, instance: Instance, last: Plan | None) -> Plan:
    planner = make_planner(values.planner, _weights(values, last), _options(values))
    console = make_console(stderr=True, file=None)
    _compile(console, planner, instance)
    with waiting(console, "planning"):
        return planner.plan(instance, _budget(values), values.seed, last)


def _options(values: flags.FlagValues) -> PlannerOptions:
    return PlannerOptions(
        workers=values.workers, checkpoint=values.checkpoint or "", ablation=values.ablation
    )


def _compile(
    console: Console, planner: Planner | None = None, instance: Instance | None = None
) -> None:
    """Compiles the planners: what they do at their first use would count as time to plan."""
    with waiting(console, "compiling the planners, once a machine"):
        compile_search()
        if planner is not None and instance is not None:
            prepare(planner, instance)


def _show(values: flags.FlagValues, instance: Instance, plan: Plan, last: Plan | None) -> int:
    console = make_console(markup=False)
    # None where no estimate has a range: there is no forecast to show then.
    made = foresee(instance, plan)
    risks = find_risks(instance, plan, made)
    costs = measure(instance, plan, last)
    line = showing.cost_line(instance, plan, costs, _weights(values, last))
    console.print(showing.plan_table(instance, plan))
    console.print(showing.bars(instance, plan))
    if values.reasons:
        showing.show_reasons(console, explain(instance, plan))
    showing.show_risks(console, risks)
    console.print(line, highlight=False)
    if not instance.tasks:
        console.print("no task is open: nothing is left to plan")
    if made is not None:
        told = forecasting.forecast_line(instance, made)
        console.print(told, highlight=False)
        # The page has one line for both, what it costs and when it is done.
        line = f"{line}; {told}"
    for name in values.out:
        path = pathlib.Path(name)
        _write(path, instance, plan, line, risks)
        console.print(f"wrote {path}")
    return 0


def _write(
    path: pathlib.Path, instance: Instance, plan: Plan, line: str, risks: Sequence[Risk]
) -> None:
    suffix = path.suffix.lower()
    # Pictures and pages are made here, the other formats by the planning package.
    known = [*WRITERS, ".png", ".html"]
    check(
        suffix in known,
        "out",
        expected=f"files that end with {', '.join(known)}",
        got=str(path),
        remedy="rename it",
    )
    if suffix == ".png":
        save_gantt(path, instance, plan)
    elif suffix == ".html":
        write_atomically(path, write_page(instance, plan, line, risks))
    elif suffix == ".md":
        write_atomically(path, write_markdown(instance, plan, risks))
    else:
        write_atomically(path, WRITERS[suffix](instance, plan))
