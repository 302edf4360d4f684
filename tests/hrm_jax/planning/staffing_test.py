"""Who does a task, against all teams that could."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.staffing import choose_team
from hrm_jax.planning.tables import tables_of

PEOPLE = 7
SKILLS = ("a", "b", "c")

skills_of_people = st.lists(
    st.lists(st.sampled_from(SKILLS), max_size=3, unique=True), min_size=PEOPLE, max_size=PEOPLE
)


def can_be_seated(team, places, skills):
    """Whether each place has somebody of its own with its skill."""
    return any(
        all(place in skills[person] for place, person in zip(places, order, strict=True))
        for order in itertools.permutations(team)
    )


@settings(max_examples=200, deadline=None)
@given(
    skills_of_people,
    st.lists(st.integers(1, 2), min_size=3, max_size=3),
    st.permutations(range(PEOPLE)),
    st.lists(st.booleans(), min_size=PEOPLE, max_size=PEOPLE),
)
def test_the_team_is_the_cheapest_that_can_be_seated(skills, counts, order, free):
    needs = tuple(Need((skill,), count) for skill, count in zip(SKILLS, counts, strict=True))
    people = tuple(Person(f"p{number}", tuple(own)) for number, own in enumerate(skills))
    tables = tables_of(Instance((Task("t", 1, needs),), people))
    places = [skill for skill, count in zip(SKILLS, counts, strict=True) for _ in range(count)]
    ranked = np.array([p for p in order if tables.allowed[0, p]], np.int64)
    size = len(places)
    # Each costs more than all before together, so that no two teams cost the same.
    teams = [
        team
        for team in itertools.combinations([int(p) for p in ranked if free[p]], size)
        if can_be_seated(team, places, skills)
    ]
    cost = {int(person): 2**rank for rank, person in enumerate(ranked)}
    seats = np.empty(size + 1, np.int32)
    team = np.empty(size, np.int32)
    found = choose_team(tables, 0, size, ranked, np.array(free, np.int32), seats, team)
    assert found == bool(teams)
    if found:
        assert set(team.tolist()) == set(min(teams, key=lambda t: sum(cost[p] for p in t)))
        kinds = [tables.need_index[need] for need in seats[:size]]
        assert all(tables.able[p, kind] for p, kind in zip(team, kinds, strict=True))
        assert np.bincount(seats[:size], minlength=3).tolist() == counts
