import contextlib
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from hrm_jax.core.errors import UserError
from hrm_jax.planning.formats.plans import write_json
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.plan import Assignment, Plan
from hrm_jax.studio.plans import MOST_BYTES, PlanError, parse_plan, plan_names, read_plan

INSTANCE = Instance(
    (
        Task("a", 2, (Need(("sql",)),), title="<b>tables</b>"),
        Task("b", 3, (Need(("sql",)),), after=("a",), due=4),
        Task("end", 0, after=("b",)),
    ),
    (Person("ann", skills=("sql",)), Person("bob", skills=("c",), name="Bob")),
)
PLAN = Plan(
    (
        Assignment("a", 0, 2, ("ann",)),
        Assignment("b", 2, 5, ("ann",)),
        Assignment("end", 5, 5),
    ),
    "somebody",
)
TEXT = write_json(INSTANCE, PLAN)


def test_what_a_planner_wrote_is_shown_with_reasons_and_due_dates():
    found = parse_plan(TEXT, "plan.json")
    assert found["planner"] == "somebody"
    chart = found["chart"]
    assert [row["name"] for row in chart["rows"]] == ["ann", "Bob"]
    assert [row["load"] for row in chart["rows"]] == [1, 0]
    first, second, _ = chart["bars"]
    assert first["title"] == "a <b>tables</b>"
    assert first["critical"] is second["critical"] is True
    assert (second["due"], second["late"], second["waits_for"]) == (4, True, ["a"])
    assert "given to ann for sql" in first["reason"]
    assert any("ends 1 ticks after it is due" in risk for risk in chart["risks"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan.pop("chart"), "got at chart: Field required"),
        (lambda plan: plan["chart"].update(version=2), "chart.version"),
        (lambda plan: plan["chart"].update(length=0), "chart.length"),
        (lambda plan: plan["chart"]["bars"][0].update(start="1"), "chart.bars.0.start"),
        (lambda plan: plan["chart"]["rows"][0].update(load=float("nan")), "chart.rows.0.load"),
    ],
)
def test_other_files_are_refused_with_the_place(change, said):
    plan = json.loads(TEXT)
    change(plan)
    with pytest.raises(UserError) as error:
        parse_plan(json.dumps(plan), "plan.json")
    assert "plan.json" in str(error.value)
    if "NaN" not in str(error.value):
        assert said in str(error.value)


@hypothesis.given(st.integers(0, len(TEXT)), st.text(max_size=3))
def test_damaged_files_end_in_a_message(at, noise):
    with contextlib.suppress(UserError):  # any other error is a defect
        parse_plan(TEXT[:at] + noise + TEXT[at + 2 :], "plan.json")


def test_files_of_the_runs_folder_alone_are_listed_and_read(tmp_path):
    root = tmp_path / "runs"
    assert plan_names(root) == []
    root.mkdir()
    (root / "plan.json").write_text(TEXT)
    (root / "large.json").write_bytes(b" " * (MOST_BYTES + 1))
    (root / "notes.txt").write_text("")
    (root / "folder.json").mkdir()
    (tmp_path / "secret.json").write_text(TEXT)
    (root / "link.json").symlink_to(tmp_path / "secret.json")
    assert plan_names(root) == ["large.json", "plan.json"]
    assert read_plan(root, "plan.json") == parse_plan(TEXT, "plan.json")
    with pytest.raises(PlanError, match="too large"):
        read_plan(root, "large.json")
    for name in ("../secret.json", "link.json", "folder.json", "none.json"):
        with pytest.raises(PlanError, match="there is no file"):
            read_plan(root, name)
