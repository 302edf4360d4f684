import pytest

from experiments.assignments.splitting import by_model, read_answer, request
from hrm_jax.planning.stories import Story

STORY = Story("clerk", "search orders", "I find them", ("By date", "By name"))


def test_a_model_names_the_tasks_and_is_named():
    asked = []

    def ask(text):
        asked.append(text)
        return '{"tasks": ["add an  index", "write the page", "add an index"]}'

    parts, by = by_model("qwen", ask)(STORY, ["python"])
    assert by == "qwen"
    titles = [part.title for part in parts]
    assert titles == ["Add an index", "Write the page", "Check that I find them"]
    assert asked == [request(STORY, ["python"])]
    for said in (
        "As a clerk, I want search orders",
        "Criterion: By name",
        "Skills at hand: python",
    ):
        assert said in asked[0]


@pytest.mark.parametrize(
    "answer",
    [None, "", "[" * 200_000, '{"tasks": ["one', '{"tasks": ["a", "a"]}', "[]", '{"tasks": 1}'],
)
def test_rules_stand_in_for_an_answer_that_is_of_no_use(answer):
    assert read_answer(answer) == []
    parts, by = by_model("qwen", lambda text: answer)(STORY, [])
    assert by == "rules"
    assert [part.title for part in parts][:2] == [
        "Search orders: By date",
        "Search orders: By name",
    ]
