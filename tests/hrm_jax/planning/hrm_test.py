"""The planner that a model guides: plans are valid, repeatable, and follow what is proposed."""

import dataclasses
import itertools
import types

import jax
import numpy as np
import pytest

from hrm_jax.models.graph_config import GraphModelConfig
from hrm_jax.models.graph_model import GraphModel
from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Restarts
from hrm_jax.planning.exact import Exact
from hrm_jax.planning.generator import KINDS, make_problem
from hrm_jax.planning.guiding import TRY_KINDS, Mix, Proposal
from hrm_jax.planning.hrm import OUTPUTS, Hrm, ModelProposer, RandomProposer, proposal_of
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.nodes import Nodes
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.plan_graph import FEATURES, RELATIONS, read_plan
from hrm_jax.planning.run import run_search

MODEL = GraphModel(
    GraphModelConfig(
        features=FEATURES, outputs=OUTPUTS, relations=RELATIONS, hidden_size=8, L_cycles=1, steps=1
    )
)


@pytest.fixture(scope="module")
def planner():
    return Hrm(ModelProposer(MODEL, MODEL.init(jax.random.key(0))))


@pytest.mark.parametrize("kind", KINDS)
def test_plans_keep_all_rules_and_repeat(planner, kind):
    problem = make_problem(2, 20, kind)
    planner = dataclasses.replace(planner, weights=problem.weights)
    plan = planner.plan(problem.instance, Budget(iterations=80), seed=1)
    assert not check_plan(problem.instance, plan)
    assert plan == planner.plan(problem.instance, Budget(iterations=80), seed=1)
    # Tries are the same however the clock parts them.
    assert plan == planner.plan(problem.instance, Budget(iterations=80, seconds=600), seed=1)
    few = planner.plan(problem.instance, Budget(iterations=10), seed=1)
    assert problem.cost(problem.arrays(plan)) <= problem.cost(problem.arrays(few))


def test_the_first_tries_are_those_of_restarts(planner):
    problem = make_problem(2, 20, "skills")
    ours = run_search(planner, problem, Budget(iterations=10), 4).best
    theirs = run_search(Restarts(), problem, Budget(iterations=10), 4).best
    np.testing.assert_array_equal(ours.start, theirs.start)


def test_a_plan_without_change_stays(planner):
    problem = make_problem(3, 20, "backlog")
    planner = dataclasses.replace(planner, weights=problem.weights)
    plan = planner.plan(problem.instance, Budget(iterations=20))
    assert planner.plan(problem.instance, Budget(iterations=20), last=plan) is plan


class Knowing:
    """Proposes what it is told, and counts how often it is asked."""

    def __init__(self, start, preference, doubt=0.01):
        self.asked = 0
        self._proposal = Proposal(
            np.array(start, np.float32),
            np.full(len(start), doubt, np.float32),
            np.array(preference, np.float32),
        )

    def propose(self, nodes, plan):
        self.asked += 1
        return self._proposal


def test_what_is_proposed_is_tried():
    # By every rule the long task comes first, and ada, whom others need less, gets it.
    tasks = (Task("long", 5, (Need(("x",)),)), Task("short", 3, (Need(("x",)),)))
    people = (Person("ada", ("x",)), Person("ben", ("x", "y")))
    instance = Instance(tasks, people)
    other = [[-9, 9], [9, -9]]
    drawn = Hrm(
        Knowing([5, 0], other),
        # The bound knows nothing of balance, so it does not end the search.
        Weights(makespan=1, balance=1),
        Mix(whole=1.0, moved=0.0, fresh=0.0, temperature=0.1),
    )
    plan = drawn.plan(instance, Budget(iterations=60)).by_task()
    assert plan["long"].people == ("ben",)
    assert plan["short"].people == ("ada",)


def test_a_better_plan_is_read_again():
    problem = make_problem(2, 20, "skills")
    shape = problem.tables.allowed.shape
    often = Knowing(np.zeros(shape[0]), np.zeros(shape), doubt=20.0)
    once = Knowing(np.zeros(shape[0]), np.zeros(shape), doubt=20.0)
    run_search(Hrm(often), problem, Budget(iterations=200), 0)
    run_search(Hrm(once, asks_again=False), problem, Budget(iterations=200), 0)
    assert once.asked == 1
    assert often.asked > 1


def test_of_a_large_problem_the_model_has_half_of_the_time(monkeypatch):
    seconds = itertools.count()
    clock = types.SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr("hrm_jax.planning.run.time", clock)
    problem = make_problem(2, 20, "skills")
    shape = problem.tables.allowed.shape
    knowing = Knowing(np.zeros(shape[0]), np.zeros(shape), doubt=20.0)
    # Each try reads the clock more than twice, so that ten by rules would take longer.
    run = run_search(Hrm(knowing), problem, Budget(seconds=20), 0)
    assert knowing.asked > 0
    assert 0 < run.done < 2 * len(problem.rules)


def test_kinds_that_find_better_plans_get_larger_shares():
    mix = Mix(whole=0.25, moved=0.25, fresh=0.0)
    assert mix.by_success(np.zeros((2, TRY_KINDS), np.int64)) is mix
    counts = np.array([[10_000, 10_000, 0, 10_000], [0, 10, 0, 20]])
    found = mix.by_success(counts)
    # Rates of 0, 0.001 and 0.002, with 300 tries at their mean of 0.001 each; the first is bounded.
    expected = np.array([0.25 * 0.1, 0.25 * 1, 0, 0.5 * (20.3 / 10.3)])
    np.testing.assert_allclose(found.shares, expected / expected.sum(), rtol=1e-6)
    assert found.temperature == mix.temperature


@pytest.mark.parametrize("adapts", [False, True])
def test_tries_are_counted_by_kind(planner, adapts, monkeypatch):
    seen = []
    by_success = Mix.by_success

    def noted(mix, counts):
        seen.append((counts.copy(), mix))
        return by_success(mix, counts)

    monkeypatch.setattr(Mix, "by_success", noted)
    problem = make_problem(2, 20, "skills")
    run_search(dataclasses.replace(planner, adapts=adapts), problem, Budget(iterations=900), 0)
    assert bool(seen) == adapts
    if adapts:
        totals = [int(counts[0].sum()) for counts, _ in seen]
        assert totals[:2] == [0, 30]
        assert totals == sorted(totals)
        # Always from the mix to begin with, so that shares do not run away.
        assert {mix for _, mix in seen} == {Mix()}
        assert (seen[-1][0][1] <= seen[-1][0][0]).all()


def test_outputs_are_read_as_ticks_and_preferences():
    problem = make_problem(2, 20, "resources")
    nodes = Nodes(problem)
    graph = read_plan(nodes, run_search(Restarts(), problem, Budget(iterations=10), 0).best)
    said = np.zeros((len(graph.features), OUTPUTS), np.float32)
    said[0] = 0.5, -50.0, 0
    said[graph.tasks, 2] = 3.0
    found = proposal_of(nodes, graph, said)
    assert found.start[0] == pytest.approx(graph.horizon * (graph.start[0] + 0.5))
    assert found.start[1] == pytest.approx(graph.horizon * graph.start[1])
    assert found.doubt[0] == pytest.approx(graph.horizon * np.exp(-6))
    assert found.doubt[1] == pytest.approx(graph.horizon)
    task, group = (part[0] for part in nodes.candidates)
    assert (found.preference[task][nodes.group_of == group] == 3).all()
    assert (found.preference[~problem.tables.allowed] < -1e5).all()


def test_chance_proposes_anything_for_those_who_may():
    problem = make_problem(2, 20, "skills")
    plan = run_search(Restarts(), problem, Budget(iterations=10), 0).best
    found = RandomProposer().propose(Nodes(problem), plan)
    assert np.ptp(found.start) > 0
    np.testing.assert_array_equal(found.preference == 0, problem.tables.allowed)


def test_the_exact_planner_goes_on_from_the_plan(planner):
    problem = make_problem(2, 14, "skills")
    both = Exact(workers=1, beside=planner, name="hrm+exact")
    plan = both.plan(problem.instance, Budget(iterations=300))
    assert plan.planner == "hrm+exact"
    assert plan.bound is not None
    first = run_search(planner, problem, Budget(iterations=200), 0)
    assert problem.cost(problem.arrays(plan)) <= first.found
