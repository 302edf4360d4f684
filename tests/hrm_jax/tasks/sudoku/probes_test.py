import numpy as np

from hrm_jax.data.sudoku import rules
from hrm_jax.tasks.sudoku.probes import format_tokens


def test_tokens_that_are_no_digits_are_blanks():
    tokens = np.arange(81) % (rules.VOCABULARY_SIZE + 1)
    text = format_tokens(tokens)
    assert len(text) == rules.NUM_CELLS
    assert text[: rules.VOCABULARY_SIZE + 1] == "..123456789."
