"""Packages that programs may import: there, read-only, with what they require; or named."""

import pathlib

import pytest

from hrm_jax.evaluation.judge.exams import Bounds, Exam
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.judge.packages import PackageMissing, package_mounts
from hrm_jax.evaluation.sandbox.isolation import find_sandbox

TESTS = """
import numpy as np
assert f(3) == 3 and f(3) != 4 and type(f(3)) is np.int64
assert g(3).shape == (3,) and (g(3) == np.arange(3)).all() and np.array_equal(g(3), [0, 1, 2])
assert half() == 0.5 and np.isclose(half(), 0.5) and near(g(3)) == 1.0
assert list(g(2)) == [0, 1] and g(3).sum() == 3 and np.allclose(g(2) * 2.0, [0, 2])
assert yes() == True and [f(1), f(2)] == [1, 2]
"""
PROGRAM = """
import numpy as np
def f(n): return np.int64(n)
def g(n): return np.arange(n)
def half(): return np.float32(0.5)
def near(values): return float(np.mean(values))
def yes(): return np.bool_(True)
"""
NAMES = ("f", "g", "half", "near", "yes")
LIAR = """
import numpy as np
class Liar(np.ndarray):
    def __eq__(self, other): return np.array(True)
    def all(self): return True
    def __array__(self, *options): return self
def f(n): return np.zeros(1).view(Liar)
"""
VANDAL = """
import numpy, pathlib
def f(n):
    path = pathlib.Path(numpy.__file__)
    try: path.write_text('')
    except OSError: return 'kept'
"""


@pytest.fixture(scope="module")
def judge(sandbox):
    return Judge.of("python", sandbox, Bounds(), 1, ["numpy"])


def test_programs_may_import_what_is_allowed(judge):
    verdict = judge.judge(Exam("python", PROGRAM, TESTS, NAMES))
    assert verdict.passed, verdict.detail
    plain = Judge.of("python", judge.sandbox, Bounds(), 1)
    verdict = plain.judge(Exam("python", PROGRAM, "assert f(1) == 1", ("f",)))
    assert verdict.detail == "ModuleNotFoundError: No module named 'numpy'"


@pytest.mark.parametrize(
    "tests",
    [
        "assert f(1) == 3",
        "import numpy as np\nassert (f(1) == np.array([3])).all()",
        "import numpy as np\nassert np.array_equal(f(1), [3])",
        "import numpy as np\nnp.testing.assert_allclose(f(1), [3])",
    ],
)
def test_an_array_that_equals_everything_does_not(judge, tests):
    assert judge.judge(Exam("python", LIAR, tests, ("f",))).result == "failed"


def test_packages_are_read_only(judge):
    verdict = judge.judge(Exam("python", VANDAL, "assert f(1) == 'kept'", ("f",)))
    assert verdict.passed, verdict.detail


def test_what_a_package_requires_is_there_too():
    names = {pathlib.Path(mount.target).name for mount in package_mounts(["hypothesis"])}
    assert {"hypothesis", "sortedcontainers"} <= names
    assert "numpy" not in names
    assert not any(mount.writable for mount in package_mounts(["hypothesis"]))
    assert package_mounts([]) == ()


def test_what_is_missing_is_named_with_the_remedy():
    with pytest.raises(PackageMissing, match="got no_such_thing; install what brings no_"):
        package_mounts(["numpy", "no_such_thing"])
    with pytest.raises(PackageMissing, match="json is of the standard library; leave it out"):
        package_mounts(["json"])
    with pytest.raises(PackageMissing, match=r"expected none for bash.*got numpy"):
        Judge.of("bash", find_sandbox(), Bounds(), 1, ["numpy"])
