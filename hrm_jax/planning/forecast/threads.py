"""How many threads libraries may use."""

from contextlib import AbstractContextManager

# The limit is set on libraries that are loaded: these load SciPy's BLAS and scikit-learn's OpenMP.
import scipy.linalg as _blas
import sklearn.ensemble as _openmp
from threadpoolctl import threadpool_limits

_LOADED = (_blas, _openmp)


def single_threaded() -> AbstractContextManager[object]:
    """Returns a context in which gradient boosting and linear algebra use one thread.

    The tables here are small. OpenMP's threads wait for each other in loops that burn time: where
    other programs use the cores, a fit with two threads took thirty times as long as with one.
    """
    return threadpool_limits(1)
