"""The limit of threads reaches every library."""

import subprocess
import sys

PROGRAM = """
from hrm_jax.planning.forecast.threads import single_threaded
from threadpoolctl import threadpool_info
with single_threaded():
    from sklearn.ensemble import HistGradientBoostingRegressor
    found = {(x["user_api"], x["num_threads"]) for x in threadpool_info()}
    assert found == {("blas", 1), ("openmp", 1)}, found
"""


def test_libraries_that_are_imported_later_are_limited_too():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
