"""The example that `--template` writes."""

import pathlib

from hrm_jax.core.config import check
from hrm_jax.core.files import write_atomically

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
    files = {team: TEAM, backlog: BACKLOG}
    for path in files:
        check(
            not path.exists(),
            "template",
            expected=f"no file {path}",
            got="one",
            remedy="name another folder",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        write_atomically(path, text)
    return team, backlog
