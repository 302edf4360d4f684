"""What ticks of working time mean in dates.

Only the team's working days have ticks, `ticks_per_day` each; tick 0 is the first of the first
working day at or after `start`. A task that ends with a day's last tick ends that evening, not the
next morning.
"""

import bisect
import datetime
import functools

from hrm_jax.core.config import check, configclass, field

_DATES_ADDED = 366
"""Working dates that `_extend` adds at a time."""
_DATES_LOOKED_AT = 10 * _DATES_ADDED
"""Dates among which it looks for them: ten years."""


@configclass
class Workdays:
    """The team's working days and hours."""

    start: str = field(help="the first date, such as 2026-01-05")
    weekdays: tuple[int, ...] = field(
        (0, 1, 2, 3, 4), help="working days; 0 is Monday", at_least=0, at_most=6, nonempty=True
    )
    ticks_per_day: int = field(8, help="ticks of a working day", at_least=1, at_most=1440)
    hours_per_day: float = field(8.0, help="hours of a working day", more_than=0, at_most=24)
    day_starts: str = field("09:00", help="when a working day begins")
    holidays: tuple[str, ...] = ()

    def __post_init__(self):
        for name, value in (("start", self.start), *(("holidays", d) for d in self.holidays)):
            check(
                _as_date(value) is not None,
                name,
                expected="a date",
                got=value,
                remedy="write it as 2026-01-05",
            )
        check(
            _as_time(self.day_starts) is not None,
            "day_starts",
            expected="a time of day",
            got=self.day_starts,
            remedy="write it as 09:00",
        )
        ascending = list(self.weekdays) == sorted(set(self.weekdays))
        check(
            ascending,
            "weekdays",
            expected="days in order, none twice",
            got=self.weekdays,
            remedy="as in 0,1,2,3,4",
        )

    @property
    def hours_per_tick(self) -> float:
        """Hours of one tick."""
        return self.hours_per_day / self.ticks_per_day

    def is_workday(self, date: datetime.date) -> bool:
        """Returns whether the team works on a date."""
        return date.weekday() in self.weekdays and date.isoformat() not in _holidays(self)

    def first_tick(self, date: datetime.date) -> int:
        """Returns the first tick at or after a date's beginning; 0 for dates before the start."""
        # Dates ascend, so the count of those before the date is found by bisection.
        days = _dates_until(self, date)
        return bisect.bisect_left(days, date) * self.ticks_per_day

    def end_tick(self, date: datetime.date) -> int:
        """Returns the tick by which everything before the evening of a date is over."""
        return self.first_tick(date + datetime.timedelta(days=1))

    def date(self, tick: int) -> datetime.date:
        """Returns the date of a tick."""
        return _nth_date(self, tick // self.ticks_per_day)

    def weekday_index(self, tick: int) -> int:
        """Returns which of the team's working days of a week a tick is in, from 0."""
        return self.weekdays.index(self.date(tick).weekday())

    def moment(self, tick: int) -> datetime.datetime:
        """Returns when a tick begins."""
        return self._clock(tick // self.ticks_per_day, tick % self.ticks_per_day)

    def end_moment(self, tick: int) -> datetime.datetime:
        """Returns when what ends at a tick is over: the evening, not the next morning."""
        # Nothing ends in the evening before the first day.
        if tick == 0:
            return self.moment(0)
        day, last = divmod(tick - 1, self.ticks_per_day)
        return self._clock(day, last + 1)

    def _clock(self, day: int, ticks: int) -> datetime.datetime:
        begins = _as_time(self.day_starts) or datetime.time()
        morning = datetime.datetime.combine(_nth_date(self, day), begins)
        return morning + datetime.timedelta(hours=ticks * self.hours_per_tick)


def _as_date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _as_time(text: str) -> datetime.time | None:
    try:
        return datetime.time.fromisoformat(text)
    except ValueError:
        return None


@functools.lru_cache(maxsize=32)
def _holidays(days: Workdays) -> frozenset[str]:
    # The config keeps a tuple, as all configs do; a plan asks for thousands of dates.
    return frozenset(days.holidays)


@functools.lru_cache(maxsize=32)
def _known_dates(days: Workdays) -> list[datetime.date]:
    """Working dates so far, which `_extend` grows: a cache, the same list for all callers."""
    return []


def _extend(days: Workdays, known: list[datetime.date]) -> None:
    # Goes on behind the last date that is known, so that each is looked at once.
    first = known[-1] + datetime.timedelta(days=1) if known else _as_date(days.start)
    assert first is not None  # checked when the config was made
    found = 0
    # A year of holidays only would otherwise never end.
    for offset in range(_DATES_LOOKED_AT):
        date = first + datetime.timedelta(days=offset)
        if days.is_workday(date):
            known.append(date)
            found += 1
            if found >= _DATES_ADDED:
                return
    check(
        found > 0,
        "holidays",
        expected=f"a working day within ten years of {first}",
        got=f"{len(days.holidays)} holidays",
        remedy="remove some",
    )


def _nth_date(days: Workdays, day: int) -> datetime.date:
    known = _known_dates(days)
    while len(known) <= day:
        _extend(days, known)
    return known[day]


def _dates_until(days: Workdays, date: datetime.date) -> list[datetime.date]:
    known = _known_dates(days)
    while not known or known[-1] < date:
        _extend(days, known)
    return known
