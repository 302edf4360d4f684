"""Run and model folders of earlier code: every leaf is read bit for bit, and runs go on the same.

On the processor and packages of the recording what follows is equal to the bit, elsewhere, and
where XLA compiles in another way, within tolerances. `tests/golden/record_runs.py` says what the
recordings are.
"""

import json
import os
import shutil

import numpy as np
import pytest

from tests.golden import record_runs
from tests.golden.record_runs import MODELS, PROGRAMS, RECORDINGS, SAVED_STEP, STEPS

METRIC_TOLERANCE = 1e-4
"""Of a metric's size, on other machines than the recording's."""
LEAF_TOLERANCE = 2e-3
"""Of a leaf's largest value, likewise: Adam-atan2 turns gradients that are rounding noise into
steps of the size of the learning rate."""


def expected(name):
    return json.loads((RECORDINGS / name / "expected.json").read_text(encoding="utf-8"))


def same_machine(name):
    is_compiled_alike = not os.environ.get("XLA_FLAGS")
    return is_compiled_alike and expected(name)["machine"] == record_runs.machine()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_leaf_of_a_checkpoint_is_read(name):
    leaves = record_runs.checkpoint_leaves(RECORDINGS / name / "run", SAVED_STEP)
    assert record_runs.digests(leaves) == expected(name)["leaves"]


@pytest.mark.parametrize("name", ["puzzle", "relational"])
def test_a_run_is_evaluated_with_its_averaged_variables(name):
    _, variables = record_runs.load_puzzle_model(RECORDINGS / name / "run")
    found = record_runs.digests(record_runs.variable_leaves(variables))
    assert found == expected(name)["averaged"]


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_run_goes_on_as_it_did(name, tmp_path):
    folder = shutil.copytree(RECORDINGS / name, tmp_path / name)
    resumed = record_runs.resume(name, folder)
    leaves = record_runs.checkpoint_leaves(folder / "run", STEPS)
    if same_machine(name):
        assert resumed == expected(name)["resumed"]
        assert record_runs.digests(leaves) == expected(name)["final"]
        return
    assert_close(resumed, expected(name)["resumed"])
    with np.load(RECORDINGS / name / "final.npz") as final:
        assert leaves.keys() == expected(name)["final"].keys()
        for path in final:
            assert_leaf_close(leaves[path], final[path], path)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_read_and_says_what_it_said(name):
    leaves, outputs = record_runs.load_model_of(name, RECORDINGS / name)
    assert record_runs.digests(leaves) == expected(name)["leaves"]
    with np.load(RECORDINGS / name / "outputs.npz") as recorded:
        assert outputs.keys() == set(recorded)
        for output, array in outputs.items():
            if same_machine(name):
                np.testing.assert_array_equal(array, recorded[output], err_msg=output)
            np.testing.assert_allclose(array, recorded[output], atol=1e-5, err_msg=output)


def assert_close(found, recorded, path=""):
    """Compares what JSON holds: numbers within `METRIC_TOLERANCE`, all else exactly."""
    if isinstance(recorded, dict):
        assert found.keys() == recorded.keys(), path
        for key, value in recorded.items():
            assert_close(found[key], value, f"{path}/{key}")
    elif isinstance(recorded, list):
        assert len(found) == len(recorded), path
        for index, value in enumerate(recorded):
            assert_close(found[index], value, f"{path}/{index}")
    elif isinstance(recorded, float):
        assert found == pytest.approx(recorded, rel=METRIC_TOLERANCE, abs=1e-6), path
    else:
        assert found == recorded, path


def assert_leaf_close(found, recorded, path):
    assert (found.shape, found.dtype) == (recorded.shape, recorded.dtype), path
    if recorded.dtype.kind != "f":
        np.testing.assert_array_equal(found, recorded, err_msg=path)
    elif recorded.size:
        largest = np.abs(recorded).max()
        np.testing.assert_allclose(
            found, recorded, rtol=0, atol=LEAF_TOLERANCE * largest, err_msg=path
        )
