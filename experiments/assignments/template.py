"""The example that `--template` writes, and what `--draw` does."""

import pathlib
import re
from collections.abc import Mapping

from hrm_jax.core.config import check
from hrm_jax.core.files import write_atomically
from hrm_jax.planning.backlogs.generating import LEAST_PEOPLE, draw_large
from hrm_jax.planning.formats.table_files import write_people_csv, write_tasks_csv

TEAM = """\
# The team: its calendar and its people.
calendar:
  start: 2026-01-05          # the first date that can be planned
  weekdays: [0, 1, 2, 3, 4]  # working days; 0 is Monday
  ticks_per_day: 8           # plans are made in hours of an 8-hour day
  hours_per_day: 8
  day_starts: "09:00"
  holidays: [2026-01-06]

people:
  - id: ada
    skills: [python, sql]
  - id: ben
    skills: [python, web]
    capacity: 50                           # works half of each day
  - id: cem
    skills: [web, design]
    week: 100 100 100 100 0                # not on Fridays
    absences: [2026-01-12..2026-01-13]     # days off, both included
"""

BACKLOG = """\
id,title,estimate,low,high,skills,after,not_before,due,priority,people,forbidden,started,status
# estimate 2 or 2d: days; 6h: hours. skills python+sql: one person has both; python; web: two do
schema,Tables for orders,2,1,4,python+sql,,,,,,,,
api,Interface for orders,3,2,5,python,schema,,2026-01-16,2,,,,
page,Page of orders,2,1,3,web,,2026-01-07,,,,,,
look,Colours and type,1,,,design,,,,,cem,,,
join,Page reads interface,1,,,python; web,api; page; look,,2026-01-23,3,,,,
"""


def write_template(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes an example; returns the files of the team and of the backlog.

    Raises:
      ConfigError: one of them is there already.
    """
    team, backlog = folder / "team.yaml", folder / "backlog.csv"
    _write_new({team: TEAM, backlog: BACKLOG}, "template")
    return team, backlog


def write_drawn(folder: pathlib.Path, size: str, seed: int) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes a drawn team and backlog of a size as 5000x200; returns their files.

    Raises:
      ConfigError: the size is none, or one of the files is there already.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", size)
    check(
        match is not None and int(match[2]) >= LEAST_PEOPLE,
        "size",
        expected=f"a number of tasks and of people ({LEAST_PEOPLE} or more), as 5000x200",
        got=size,
        remedy="write it so",
    )
    assert match is not None
    instance = draw_large(int(match[1]), int(match[2]), seed)
    team, backlog = folder / "team.csv", folder / "backlog.csv"
    _write_new({team: write_people_csv(instance), backlog: write_tasks_csv(instance)}, "draw")
    return team, backlog


def _write_new(files: Mapping[pathlib.Path, str], flag: str) -> None:
    # All are looked at before the first is written: half an example is none.
    for path in files:
        check(
            not path.exists(),
            flag,
            expected=f"no file {path}",
            got="one",
            remedy="name another folder",
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
