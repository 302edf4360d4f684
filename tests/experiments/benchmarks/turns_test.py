"""Turns of several contestants."""

from experiments.benchmarks.turns import Turn, speeds, take_turns


def test_contestants_alternate_and_the_first_turn_of_each_warms_it_up():
    order = []

    def contestant(name):
        def take_turn():
            order.append(name)
            return Turn([name], len(order), 2.0)

        return take_turn

    turns = take_turns({"a": contestant("a"), "b": contestant("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert [turn.tokens for turn in turns["a"]] == [3, 5]
    assert [turn.tokens for turn in turns["b"]] == [4, 6]
    assert speeds(turns) == {"a": [1.5, 2.5], "b": [2.0, 3.0]}
