import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.planning.stories import Story, read_story, split_by_rules

STORY = "As a clerk, I want to search and filter orders by date, so that I find them. More."
CRITERIA = """As an admin I need reports so that I see trends.

Acceptance criteria:
- [ ] A table of months
- [x] A page for it
* A chart of years

Notes
- not a criterion
"""


def titles(story, skills=()):
    return [part.title for part in split_by_rules(story, skills)]


def test_a_story_is_read_from_title_or_description():
    assert read_story(STORY, "") == Story(
        "clerk", "search and filter orders by date", "I find them"
    )
    assert read_story("Orders", STORY) == read_story(STORY, "")
    assert read_story("AS THE CLERK I WANT peace", "") == Story("CLERK", "peace")
    assert read_story("Fix the clerk's page", "As a rule, this fails. I want it mended") is None


def test_criteria_are_those_under_their_heading_that_are_not_ticked():
    story = read_story("", CRITERIA)
    assert story is not None
    assert story.criteria == ("A table of months", "A chart of years")
    assert titles(story) == ["A table of months", "A chart of years", "Check that I see trends"]


def test_a_short_criterion_stands_behind_the_goal():
    story = Story("a", "find orders", criteria=("by date", "show all of their lines"))
    assert titles(story) == ["Find orders: by date", "Show all of their lines"]


def test_scenarios_name_tasks():
    story = read_story(
        "As a user I want to pay", "Scenario: Card is refused\n  Given x\nScenario: B"
    )
    assert story is not None
    assert titles(story) == ["Card is refused", "Pay: B"]


@pytest.mark.parametrize(
    ("goal", "parts"),
    [
        ("search and filter orders", ["Search orders", "Filter orders"]),
        ("create, edit, and delete a user", ["Create a user", "Edit a user", "Delete a user"]),
        ("edit a user and a role", []),
        ("see orders and customers", []),
    ],
)
def test_verbs_share_the_last_object(goal, parts):
    assert titles(Story("a", goal)) == parts


def test_skills_part_what_has_one_goal():
    parts = split_by_rules(Story("a", "see orders", "b"), ["python", "web"])
    assert [(part.title, part.skills) for part in parts] == [
        ("see orders: python", ("python",)),
        ("see orders: web", ("web",)),
        ("Check that b", ()),
    ]
    assert parts[-1].last


@given(st.text(max_size=40), st.text(max_size=40), st.lists(st.text(min_size=1), max_size=3))
def test_any_text_is_split_into_shares_of_a_whole(goal, benefit, skills):
    parts = split_by_rules(Story("a", goal, benefit), skills)
    assert not parts or sum(part.share for part in parts) == pytest.approx(1)
    read_story(f"As a x, I want {goal} so that {benefit}", benefit)
