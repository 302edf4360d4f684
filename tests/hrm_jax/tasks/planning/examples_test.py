"""Which settings of solved problems make sense."""

import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.tasks.planning.examples import ExamplesConfig


def test_no_plan_is_shown_after_the_answer():
    message = r"snapshots: expected at most the 100 tries .* got \(10, 150\); lower them"
    with pytest.raises(ConfigError, match=message):
        ExamplesConfig(snapshots=(10, 150), tries=100)
    assert ExamplesConfig(snapshots=(10, 100), tries=100).tries == 100
