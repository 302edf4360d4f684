"""The flags of the command's modes."""

from collections.abc import Sequence

from absl import flags

from experiments.assignments.planners import ABLATIONS, PLANNERS


def define(modes: Sequence[str]) -> None:
    """Defines the flags of all modes, but for those of a configuration."""
    flags.DEFINE_enum(
        "mode",
        None,
        modes,
        "what to do; see above; plan with --backlog or --team, else train",
    )
    flags.DEFINE_string("template", None, "write a commented example to this folder, and end")
    flags.DEFINE_string("draw", None, "write a drawn backlog and team to this folder, and end")
    flags.DEFINE_string("size", "5000x200", "draw: tasks x people")
    flags.DEFINE_string("backlog", None, "tasks: CSV, YAML, GitHub JSON, Jira CSV, .dzn or .sm")
    flags.DEFINE_string("team", None, "people and calendar: YAML, or CSV with --start")
    flags.DEFINE_string("start", None, "the first date, where --team has no calendar: 2026-01-05")
    flags.DEFINE_string("now", None, "nothing new starts before this date")
    flags.DEFINE_enum("planner", "exact", list(PLANNERS), "who plans")
    flags.DEFINE_float("seconds", None, "time to plan in; 10 without --iterations", lower_bound=0.0)
    flags.DEFINE_integer(
        "iterations", None, "plans to try instead: repeats a plan exactly", lower_bound=1
    )
    flags.DEFINE_integer("seed", 0, "of all randomness", lower_bound=0)
    flags.DEFINE_integer("workers", 8, "threads of the exact planner", lower_bound=1)
    flags.DEFINE_string(
        "checkpoint", None, "hrm: a run's folder or an exported model, in place of the shipped one"
    )
    flags.DEFINE_enum("ablation", "none", list(ABLATIONS), "eval: what hrm does without")
    flags.DEFINE_string("run", None, "train: folder of the run; a new one below runs/ if unset")
    flags.DEFINE_bool("resume", False, "train: go on from the newest checkpoint of --run")
    flags.DEFINE_integer("makespan", 1, "weight of a tick until all is done", lower_bound=0)
    flags.DEFINE_integer("tardiness", 1, "weight of a tick late, times priority", lower_bound=0)
    flags.DEFINE_integer("balance", 0, "weight of a tick of uneven load", lower_bound=0)
    flags.DEFINE_integer(
        "changes", None, "weight of a change to --last; 4 in --mode=replan", lower_bound=0
    )
    flags.DEFINE_list("out", [], "files for the plan: .csv .json .md .mmd .ics .png .html")
    flags.DEFINE_string("plan", None, "check, forecast: a plan, .json or .csv")
    flags.DEFINE_string("last", None, "replan: the plan before, .json or .csv")
    flags.DEFINE_string("with_person", None, "whatif: skills of one more person, as python;sql")
    flags.DEFINE_string("without_person", None, "whatif: the id of a person who is not there")
    flags.DEFINE_string(
        "split", None, "propose tasks for the backlog's stories in this new file, .csv, and end"
    )
    flags.DEFINE_string("model", None, "split: a language model that proposes; rules if unset")
    flags.DEFINE_string("accept", None, "plan the tasks that you accepted in a file of --split")
    flags.DEFINE_string("history", None, "forecast: past issues, .csv; see docs/forecast.md")
    flags.DEFINE_integer("samples", 2000, "forecast: simulations", lower_bound=100)
    flags.DEFINE_multi_string("due", [], "whatif: another due date, as ID:2026-02-13; repeatable")
    flags.DEFINE_multi_string("without_task", [], "whatif: the id of a task left out; repeatable")
    flags.DEFINE_bool("reasons", True, "print the reason of each assignment")
    flags.DEFINE_string("instances", None, "eval, efficiency: folder or tar archive of .dzn or .sm")
    flags.DEFINE_string("best", None, "eval: CSV of the best makespans known")
    flags.DEFINE_integer(
        "limit", 0, "eval, efficiency: instances; of drawn ones, of a class", lower_bound=0
    )
    flags.DEFINE_string(
        "results", None, "eval: file of one JSON line an instance; what it holds is not run again"
    )
    flags.DEFINE_string(
        "against", None, "eval: another planner's file of results, to compare gaps with"
    )
