import jax
import pytest

from hrm_jax.training.side_records import SideRecords, read_records


def write(folder, steps, resume_step=-1):
    with SideRecords(folder, "a.jsonl", resume_step=resume_step) as records:
        for step in steps:
            records.write(step, {"x": step / 2})


def test_records_say_version_and_step(tmp_path):
    write(tmp_path, [1, 2])
    assert read_records(tmp_path / "a.jsonl") == [
        {"version": 1, "step": 1, "x": 0.5},
        {"version": 1, "step": 2, "x": 1.0},
    ]


def test_a_resumed_file_drops_later_steps_and_a_half_written_line(tmp_path):
    write(tmp_path, [1, 2, 3])
    with open(tmp_path / "a.jsonl", "a") as file:
        file.write('{"version":1,"st')
    write(tmp_path, [3], resume_step=2)
    assert [record["step"] for record in read_records(tmp_path / "a.jsonl")] == [1, 2, 3]


def test_what_json_has_no_number_for_is_not_written(tmp_path):
    records = SideRecords(tmp_path, "a.jsonl", resume_step=-1)
    with records, pytest.raises(ValueError, match="not JSON compliant"):
        records.write(1, {"x": float("nan")})
    assert (tmp_path / "a.jsonl").read_text() == ""


@pytest.mark.parametrize("line", ["{", "3", '{"version": 1}', '{"step": "1"}', "[" * 100_000, ""])
def test_damaged_lines_are_left_out(tmp_path, line):
    write(tmp_path, [1])
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n" + path.read_text())
    assert [record["step"] for record in read_records(path)] == [1]


def test_without_a_file_there_are_no_records(tmp_path):
    assert read_records(tmp_path / "a.jsonl") == []


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    write(tmp_path, [1])
    assert list(tmp_path.iterdir()) == []
