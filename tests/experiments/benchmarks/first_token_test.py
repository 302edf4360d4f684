"""The first_token suite's prompts: a change at the cursor, and one at the end."""

import pytest

from experiments.benchmarks import first_token
from experiments.benchmarks.first_token import Case, Options
from hrm_jax.inference.text.prefixes import common
from tests.hrm_jax.inference.text.tiny import MIDDLE, PREFIX, SUFFIX, ByteTokenizer

OPTIONS = Options([], tokens=200, changed=20)


def cases(**settings) -> dict[str, Case]:
    return first_token.cases(ByteTokenizer(**settings), OPTIONS)


def test_twenty_tokens_are_changed():
    found = cases()
    before, after, *_ = found["end changed"].states
    assert len(before) == len(after) == 200
    assert common(before, after) == 180
    before, after, *_ = found["cursor changed"].states
    # The prefix's mark, and 80 of its 100 tokens.
    assert common(before, after) == 81
    assert common(before[::-1], after[::-1]) == 82
    assert [after[i] for i in (0, 101, -1)] == [PREFIX, SUFFIX, MIDDLE]
    assert found["cursor changed, reuse_shifted"].states[:2] == [before, after]
    before, after, *_ = found["cursor changed, suffix first"].states
    assert common(before, after) == len(after) - 20


def test_a_model_without_marks_changes_its_end_alone():
    assert list(cases(infilling=None)) == ["cold", "end changed"]


def test_shares_are_of_the_cold_read_of_the_same_round():
    figures = first_token._figures([1.0, 1.0], [4.0, 2.0])
    assert figures["of_cold"]["median"] == pytest.approx(0.375)
    assert figures["seconds"] == {"median": 1, "low": 1, "high": 1}
