"""What mutants of a module there are, and which tests stand for a module."""

import ast

import pytest

from tests import mutate
from tests.mutants import find_mutants

TEXT = '''"""Text stays: 1 + 1."""

def clamp(x: "int > 1", low=0, *, loud=False) -> "x < y":
    """Not 3 < 4."""
    if not loud and x < low:
        x += 2 * low
    return f"{x + 1}" if x == -1 else zip(x, "a" + low, strict=True)
'''


def changes(text):
    return {(mutant.old, mutant.new) for mutant in find_mutants("m.py", text)}


def test_each_operator_and_constant_is_changed_once_and_texts_are_not():
    assert changes(TEXT) == {
        ("0", "1"),
        ("False", "True"),
        ("not loud and x < low", "(not loud or x < low)"),
        ("not loud", "(loud)"),
        ("x < low", "(x <= low)"),
        ("x += 2 * low", "x -= 2 * low"),
        ("2 * low", "(2 / low)"),
        ("2", "3"),
        ("x == -1", "(x != -1)"),
        ("-1", "(1)"),
        ("1", "2"),
    }


def test_a_mutant_is_the_module_with_one_change():
    for mutant in find_mutants("m.py", TEXT):
        changed = mutant.apply(TEXT)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(TEXT))
        assert mutant.function == "clamp"


def test_a_mutant_is_known_again_where_its_lines_have_moved():
    moved = TEXT.replace("def clamp", "import math\n\n\ndef clamp")
    before, after = ([m.identity for m in find_mutants("m.py", t)] for t in (TEXT, moved))
    assert before == after
    with pytest.raises(ValueError, match="it has changed"):
        find_mutants("m.py", TEXT)[-1].apply(moved)


def test_core_modules_have_tests():
    assert mutate.tests_of("hrm_jax/optim/ema.py") == ["tests/hrm_jax/optim/ema_test.py"]
    assert mutate.tests_of("kernels/hrm_kernels/mask.py") == ["tests/kernels/mask_test.py"]
    assert mutate.tests_of("hrm_jax/training/checkpoint.py")[0].endswith("/checkpoint_test.py")
    assert "tests/hrm_jax/core/config_test.py" in mutate.tests_of("hrm_jax/core/config_values.py")
    without = {"__init__.py", "protocols.py"}  # nothing to change in them
    for pattern in mutate.CORE:
        for path in mutate.ROOT.glob(pattern):
            assert path.name in without or mutate.tests_of(
                path.relative_to(mutate.ROOT).as_posix()
            ), path
