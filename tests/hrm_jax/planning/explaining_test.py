from hrm_jax.planning.explaining import NextBest, explain
from hrm_jax.planning.instance import Instance, Need, Person, Task
from tests.hrm_jax.planning.drawn import plan_of

A, B = (Need(("a",)), Need(("b",)))
PEOPLE = (Person("ann", ("a",)), Person("bob", ("b",)), Person("cat", ("a", "b"), speed=50))


def test_who_could_take_a_place_in_a_team_and_what_that_changes():
    tasks = (
        Task("both", 4, (A, B)),
        Task("other", 3, (B,), people=("bob",)),
        Task("long", 9, (A,)),
    )
    plan = plan_of(
        ("both", 0, 4, ["ann", "bob"]), ("other", 4, 7, ["bob"]), ("long", 4, 13, ["ann"])
    )
    reasons = explain(Instance(tasks, PEOPLE), plan)
    assert reasons["both"].next_best == NextBest("cat", "ann", 4)
    assert "with cat in place of ann it would end 4 ticks later" in reasons["both"].text()
    assert reasons["other"].next_best is None  # bob is who has to do it
    assert reasons["long"].next_best == NextBest("cat", "ann", 9)


def test_more_than_the_slack_is_told():
    tasks = (Task("x", 4, (A,)), Task("end", 0, due=5, after=("x",)), Task("y", 9, (B,)))
    plan = plan_of(("x", 0, 4, ["ann"]), ("end", 4, 4, []), ("y", 0, 9, ["bob"]))
    reasons = explain(Instance(tasks, PEOPLE), plan)
    assert reasons["x"].slack == 1
    assert "with cat it would end 4 ticks later, 3 more than its slack" in reasons["x"].text()
    assert reasons["end"].next_best is None
