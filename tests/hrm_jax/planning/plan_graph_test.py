"""What a model reads of a problem and a plan: marks, relations, and that names mean nothing."""

import dataclasses

import numpy as np
import pytest

from hrm_jax.planning.generator import KINDS, make_problem
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.nodes import Nodes
from hrm_jax.planning.objectives import MAKESPAN
from hrm_jax.planning.plan_graph import FEATURES, RELATIONS, Size, read_plan, shares
from hrm_jax.planning.problem import Problem

SMALL = Problem(
    Instance(
        tasks=(
            Task("a", 3, (Need(("x",)),)),
            Task("b", 2, (Need(("x",)), Need(("y",), 2)), after=("a",)),
            Task("c", 1, (Need(("y",)),)),
            Task("d", 0, (), after=("b",)),
        ),
        people=(
            Person("p", ("x",)),
            Person("q", ("y",)),
            Person("r", ("y",)),
            Person("s", ("z",)),
        ),
    ),
    MAKESPAN,
)


def dispatched(problem):
    costs = np.broadcast_to(problem.scarcity, problem.tables.allowed.shape)
    return problem.decode(problem.rules[0], costs)


def test_candidates_are_tasks_with_groups_of_equal_people():
    nodes = Nodes(SMALL)
    # q and r are told apart by nothing; s can do nothing.
    assert nodes.groups == [[0], [1, 2]]
    assert nodes.group_of.tolist() == [0, 1, 1, -1]
    task, group = nodes.candidates
    assert list(zip(task.tolist(), group.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1), (2, 1)]
    assert nodes.served.tolist() == [[True, False], [True, False], [False, True], [False, True]]
    member, own = nodes.pairs["task"]
    assert own.tolist() == [0, 1, 2, 3, 0, 1, 1, 2]
    assert member.tolist() == list(range(8))
    assert [pair.tolist() for pair in nodes.pairs["before"]] == [[0, 1], [1, 3]]
    assert [pair.tolist() for pair in nodes.pairs["after"]] == [[1, 3], [0, 1]]


def test_a_plan_marks_starts_slack_and_who_follows_whom():
    nodes = Nodes(SMALL)
    plan = dispatched(SMALL)
    assert plan.start.tolist() == [0, 3, 0, 5]
    graph = read_plan(nodes, plan)
    assert graph.horizon == 5
    np.testing.assert_allclose(graph.start, [0, 0.6, 0, 1])
    # After a comes b, both p's; after c comes b, whose people include whoever does c.
    assert sorted(zip(*(pair.tolist() for pair in graph.pairs["previous"]), strict=True)) == [
        (0, 1),
        (2, 1),
    ]
    standing = graph.features[:4, -(7 + 9) : -9]
    np.testing.assert_allclose(standing[:, 2], [0, 0, 2 / 5, 0])  # c could end two ticks later
    assert standing[:, 3].tolist() == [1, 1, 0, 1]
    assert shares(nodes, plan).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_names_and_order_of_the_list_mean_nothing(kind):
    problem = make_problem(1, 20, kind)
    instance = problem.instance
    mixed = Problem(
        dataclasses.replace(instance, tasks=instance.tasks[::-1], people=instance.people[::-1]),
        problem.weights,
    )
    nodes, others = Nodes(problem), Nodes(mixed)
    plan = dispatched(problem)
    last = len(instance.people) - 1
    turned = type(plan)(
        plan.start[::-1].copy(),
        plan.end[::-1].copy(),
        np.where(plan.team >= 0, last - plan.team, -1)[::-1].copy(),
    )
    graph, other = read_plan(nodes, plan), read_plan(others, turned)
    tasks = graph.tasks
    # The rule "first come" is by the list, and ranks of equal starts are, too.
    told = [column for column in range(FEATURES) if column not in (22, 29)]
    np.testing.assert_allclose(
        graph.features[:tasks, told], other.features[:tasks][::-1][:, told], rtol=0, atol=1e-6
    )
    assert set(graph.pairs) == set(RELATIONS)
    for name in RELATIONS:
        assert len(graph.pairs[name][0]) == len(other.pairs[name][0])


def test_padding_leaves_room_between_tasks_and_candidates():
    graph = read_plan(Nodes(SMALL), dispatched(SMALL))
    assert graph.size == Size(32, 320)
    size = Size(64, 320)
    padded = graph.padded(size)
    assert padded.features.shape == (384, FEATURES)
    assert padded.present.nonzero()[0].tolist() == [0, 1, 2, 3, 64, 65, 66, 67]
    np.testing.assert_array_equal(padded.features[64:68], graph.features[4:])
    there, _ = padded.relations["person"]
    assert there.source[:4].tolist() == [64, 65, 66, 67]


def test_sizes_grow_twofold_until_everything_fits():
    problem = make_problem(0, 60, "skills")
    graph = read_plan(Nodes(problem), dispatched(problem))
    assert 32 < graph.tasks <= 64
    assert graph.size == Size(64, 320)
    assert graph.size.holds(Size(32, 320))
    assert not graph.size.holds(Size(32, 640))
    many = np.zeros(321, np.int32)
    crowded = dataclasses.replace(graph, pairs={**graph.pairs, "next": (many, many)})
    assert crowded.size == Size(64, 640)
    assert np.isfinite(graph.features).all()
