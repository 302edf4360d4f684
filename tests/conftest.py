"""Settings and options for all tests."""

import collections
import contextlib
import fcntl
import gc
import importlib
import importlib.util
import os
import pathlib
import threading
from typing import Any

import jax
import pytest

from experiments.benchmarks import aot_targets
from hrm_kernels.jax_versions import UNOPTIMISED
from tests.preloaded import reuse_lowering_context

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

LONGEST = (
    "tests/experiments/studio_test.py",
    "tests/kernels/paths_test.py",
    "tests/experiments/sudoku/resume_test.py",
    "tests/experiments/common/distributed_test.py",
    "tests/experiments/benchmarks/device/suite_test.py",
    "tests/experiments/sudoku/main_test.py",
    "tests/experiments/assignments_test.py",
    "tests/hrm_jax/models/hrm_text_test.py",
    "tests/hrm_jax/tasks/code/task_test.py",
    "tests/hrm_jax/models/golden_test.py",
    "tests/readme_test.py",
    "tests/hrm_jax/training/sharding_test.py",
)
"""Files that take longest. They come first, so that no worker has one of them alone in the end."""

GOLDEN = pathlib.Path(__file__).parent / "golden"
RECORDINGS = {
    "recording_path": ("hrm_*.npz", "trm_*.npz"),
    "text_recording_path": ("hrm_text_*/",),
}


def pytest_configure(config):
    """Settles how programs are compiled, before any test module makes an array."""
    # Files are given to workers in our order, and not those of most tests first.
    config.option.loadscopereorder = False
    if "PYTEST_XDIST_WORKER" in os.environ:
        compile_in_turns()
    reuse_lowering_context()
    if config.option.markexpr == "aot":
        aot_targets.settle_process()
    elif not config.option.optimised:
        # Most of the tests' time is that of the compiler. Processes that tests start do likewise.
        flags = [f"--{name}={str(value).lower()}" for name, value in UNOPTIMISED.items()]
        os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])


def compile_in_turns() -> None:
    """Lets one worker compile a function of Numba's while others wait, and take what it kept.

    Workers reach the same functions at the same moment: modules of tests make puzzles.
    """
    if not importlib.util.find_spec("numba"):
        return
    from numba.core import dispatcher as dispatchers

    compile_or_load = dispatchers.Dispatcher.compile
    thread = threading.local()

    def in_turns(dispatcher: Any, signature: Any) -> Any:
        # What a function calls is compiled in its turn.
        if getattr(thread, "has_turn", False):
            return compile_or_load(dispatcher, signature)
        # Functions of one package call each other: a turn is for all of them.
        package = os.open(os.path.dirname(dispatcher.py_func.__code__.co_filename), os.O_RDONLY)
        try:
            fcntl.flock(package, fcntl.LOCK_EX)
            thread.has_turn = True
            return compile_or_load(dispatcher, signature)
        finally:
            thread.has_turn = False
            os.close(package)

    dispatchers.Dispatcher.compile = in_turns


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> pathlib.Path:
    """A folder for this run of the tests that its workers share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def compiled_by_children(shared_folder):
    """Lets the processes that tests start share what they compile, whichever worker starts them.

    JAX reads these variables when it is imported, so this process does without.
    """
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": str(shared_folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="session")
def compiled_planner():
    """Compiles the planner of work before commands that plan: Numba keeps it for all."""
    from hrm_jax.planning.dispatching import compile_search  # only where it is needed

    compile_search()


def pytest_addoption(parser):
    parser.addoption(
        "--golden", default=None, metavar="DIR", help="further recordings of the originals to check"
    )
    parser.addoption(
        "--optimised",
        action="store_true",
        help="compile as programs are compiled outside of tests, which takes about twice as long",
    )
    parser.addoption(
        "--fuzz", default=300, type=int, metavar="N", help="damaged files to read in all"
    )
    parser.addoption(
        "--plans", default=200, type=int, metavar="N", help="drawn instances to plan and check"
    )
    parser.addoption(
        "--every", default=1, type=int, metavar="N", help="run the first of every N cases of a test"
    )
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run all cases of the tests that are marked thorough",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Has each worker begin to import at modules of its own.

    Each module's assertions are rewritten and kept once; workers that go through all modules at
    the same time would each rewrite them all.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    if worker == "0" or session.config.args_source != pytest.Config.ArgsSource.TESTPATHS:
        return
    root = session.config.rootpath
    names = [
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in sorted((root / "tests").rglob("*_test.py"))
    ]
    begin = len(names) * int(worker) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for name in names[begin:]:
        # What a module raises is told, or is its skip, when pytest imports it.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(name)


def pytest_collection_modifyitems(config, items):
    """Orders files, and leaves the first of every N cases of a test.

    N is that of --every, and what `thorough` says.
    """
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))
    places = collections.Counter()
    kept, left_out = [], []
    for item in items:
        function = item.nodeid.partition("[")[0]
        place = places[function]
        places[function] += 1
        thorough = item.get_closest_marker("thorough")
        runs = place % config.option.every == 0
        if thorough and not config.option.thorough:
            every = thorough.kwargs.get("every")
            runs = runs and every is not None and place % every == 0
        (kept if runs else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_collection_finish(session):
    """Has the garbage collector leave alone what was imported: most of all objects, none garbage.

    Tracing makes many objects, so it would walk through those again and again.
    """
    del session
    gc.freeze()
    # Of the many objects that make a program few are garbage by then, so looking for it at every
    # 700 of them, as is usual, finds next to nothing.
    gc.set_threshold(200_000, 20, 100)


def pytest_generate_tests(metafunc):
    """Gives tests the recordings in tests/golden and in --golden=DIR.

    `recording_path` is each one of HRM and TRM, `text_recording_path` each one of HRM-Text.
    """
    wanted = RECORDINGS.keys() & set(metafunc.fixturenames)
    if not wanted:
        return
    extra = metafunc.config.getoption("--golden")
    folders = [GOLDEN, *([pathlib.Path(extra)] if extra else [])]
    found = {
        name: [path for folder in folders for glob in globs for path in sorted(folder.glob(glob))]
        for name, globs in RECORDINGS.items()
    }
    if extra and not any(path.parent == folders[-1] for paths in found.values() for path in paths):
        named = [glob for globs in RECORDINGS.values() for glob in globs]
        raise pytest.UsageError(f"--golden={extra}: nothing named {' or '.join(named)} there")
    for name in wanted:
        ids = [f"{path.parent.name}/{path.stem}" for path in found[name]]
        metafunc.parametrize(name, found[name], ids=ids, scope="module")
