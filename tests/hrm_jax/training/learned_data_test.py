"""What a run learned from: compared and written down."""

import json

import pytest

from hrm_jax.training import learned_data


def written(folder):
    entries = json.loads((folder / learned_data.DATA).read_text())
    return [(entry["step"], entry["fingerprint"]) for entry in entries]


def test_the_data_up_to_the_step_are_those_compared(tmp_path):
    learned_data.check_unchanged(tmp_path, 0, "any")
    learned_data.record(tmp_path, 0, "first")
    learned_data.record(tmp_path, 10, "second")
    for step in (10, 11):
        learned_data.check_unchanged(tmp_path, step, "second")
        with pytest.raises(learned_data.DataChanged, match="expected fingerprint second, got firs"):
            learned_data.check_unchanged(tmp_path, step, "first")
    learned_data.check_unchanged(tmp_path, 9, "first")
    with pytest.raises(learned_data.DataChanged, match="expected fingerprint first, got second"):
        learned_data.check_unchanged(tmp_path, 9, "second")


def test_a_run_that_did_not_say_at_first_passes_until_it_does(tmp_path):
    learned_data.record(tmp_path, 10, "second")
    learned_data.check_unchanged(tmp_path, 9, "any")


def test_equal_data_are_one_entry(tmp_path):
    for step in (0, 10, 20):
        learned_data.record(tmp_path, step, "same")
    assert written(tmp_path) == [(0, "same")]


def test_what_came_after_the_step_is_dropped(tmp_path):
    for step, fingerprint in ((0, "a"), (10, "b"), (20, "c")):
        learned_data.record(tmp_path, step, fingerprint)
    assert written(tmp_path) == [(0, "a"), (10, "b"), (20, "c")]
    learned_data.record(tmp_path, 15, "a")  # from an older checkpoint
    assert written(tmp_path) == [(0, "a"), (10, "b"), (15, "a")]
    learned_data.record(tmp_path, 10, "a")
    assert written(tmp_path) == [(0, "a")]


@pytest.mark.parametrize("text", ["", "[", "{}x", "3", "[3]", '[{"step": 1}]', '{"step": 1}'])
def test_a_file_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / learned_data.DATA).write_text(text)
    with pytest.raises(learned_data.DataChanged, match=r"data\.json cannot be read .* delete it"):
        learned_data.check_unchanged(tmp_path, 0, "any")
