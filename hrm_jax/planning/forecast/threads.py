"""How many threads libraries may use."""

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits


def single_threaded() -> AbstractContextManager[object]:
    """Returns a context in which gradient boosting and linear algebra use one thread.

    The tables here are small. OpenMP's threads wait for each other in loops that burn time: where
    other programs use the cores, a fit with two threads took thirty times as long as with one.
    """
    return threadpool_limits(1)
