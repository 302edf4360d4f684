"""When people are busy, against lists of ticks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.busy import enough_free, next_busy, occupy
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.staffing import FOREVER
from hrm_jax.planning.tables import tables_of

TICKS = 12
PEOPLE = 4

busy_ticks = st.lists(
    st.lists(st.booleans(), min_size=TICKS, max_size=TICKS), min_size=PEOPLE, max_size=PEOPLE
)


def empty():
    """Nobody is busy."""
    starts = np.empty((PEOPLE, TICKS + 1), np.int32)
    return starts, np.empty_like(starts), np.zeros(PEOPLE, np.int32)


def intervals(ticks):
    """The same as intervals, each of one tick, the last ones first."""
    busy = empty()
    for person, row in enumerate(ticks):
        for tick in reversed(np.flatnonzero(row).tolist()):
            occupy(busy, np.array([person], np.int32), 1, tick, tick + 1)
    return busy


@settings(max_examples=50, deadline=None)
@given(busy_ticks, st.integers(0, TICKS - 1))
def test_the_next_interval_is_the_first_that_ends_later(ticks, tick):
    busy = intervals(ticks)
    for person, row in enumerate(ticks):
        later = [number for number in np.flatnonzero(row).tolist() if number + 1 > tick]
        _, start, end = next_busy(*busy, person, tick)
        assert (start, end) == ((later[0], later[0] + 1) if later else (FOREVER, FOREVER))


def test_work_of_no_length_keeps_nobody_busy():
    busy = empty()
    occupy(busy, np.array([0], np.int32), 1, 3, 3)
    assert busy[2].tolist() == [0] * PEOPLE


@settings(max_examples=100, deadline=None)
@given(
    busy_ticks,
    st.integers(0, TICKS - 1),
    st.integers(1, 4),
    st.lists(st.sampled_from([("a",), ("b",), ("a", "b"), ()]), min_size=PEOPLE, max_size=PEOPLE),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_enough_are_free_when_each_need_has_its_people(ticks, tick, length, skills, counts):
    needs = (Need(("a",), counts[0]), Need(("b",), counts[1]))
    people = tuple(Person(f"p{number}", own) for number, own in enumerate(skills))
    tables = tables_of(Instance((Task("t", length, needs),), people))
    ranked = np.arange(PEOPLE)

    def free_from(person):
        row = [*ticks[person], *[False] * (TICKS + length)]
        return next(t for t in range(tick, len(row)) if not any(row[t : t + length]))

    expected = tick
    for need in needs:
        able = sorted(free_from(p) for p, own in enumerate(skills) if need.skills[0] in own)
        late = able[need.count - 1] if len(able) >= need.count else FOREVER
        expected = max(expected, late)
    scratch = np.empty(PEOPLE, np.int32), np.empty(sum(counts) + 1, np.int32)
    found = enough_free(tables, 0, tick, length, ranked, intervals(ticks), *scratch)
    assert found == expected
