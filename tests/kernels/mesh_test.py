"""Attention on several devices, simulated: the numbers of one."""

import jax
import pytest

import hrm_kernels
from hrm_kernels import cases
from tests import commands
from tests.kernels.paths import PATHS

COMPARE = """
import sys
import jax, numpy as np
from jax.sharding import Mesh, PartitionSpec
import hrm_kernels
from hrm_kernels import cases

backend = sys.argv[1]
options = {"backend": backend, "interpret": not backend.startswith("xla")}
data = cases.example(cases.Case(21, N=4, M=2, K=16, mask="causal_lengths", B=4))
expected = cases.compute(data, **options)


def compare(found):
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=4e-6, err_msg=name)


for shape in ((4, 1), (2, 2)):  # the ambient mesh: batch over data, heads over model
    mesh = Mesh(np.asarray(jax.devices()).reshape(shape), ("data", "model"))
    with jax.set_mesh(mesh):
        compare(cases.compute(data, **options))

mesh, rows = Mesh(np.asarray(jax.devices()), ("rows",)), PartitionSpec("rows")
masks = jax.tree.map(lambda x: rows if np.ndim(x) else PartitionSpec(), data.mask)


def shared(check_vma, **options):  # the caller's own shard_map, over the batch
    def attend(query, key, value, mask, cotangents):
        function = lambda *x: hrm_kernels.attention(*x, mask=mask, return_lse=True, **options)
        results, pullback = jax.vjp(function, query, key, value)
        return *results, *pullback(cotangents)

    specs = (rows, rows, rows, masks, rows)
    return jax.jit(
        jax.shard_map(attend, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=check_vma)
    )


arguments = *data.operands, data.mask, data.cotangents
jax.eval_shape(shared(True, backend=backend), *arguments)
# Pallas' interpreter does not know of varying axes (jax 0.10.2): it runs without their check.
for check_vma in {False, not options["interpret"]}:
    arrays = shared(check_vma, **options)(*arguments)
    compare(dict(zip(cases.NAMES, map(np.asarray, arrays), strict=True)))
"""


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("backend", PATHS)
def test_four_devices_give_the_numbers_of_one(backend):
    """Under `jax.set_mesh` and inside `shard_map`, values, log-sum-exp and gradients."""
    done = commands.run("-c", COMPARE, backend, devices=4)
    assert done.returncode == 0, done.stderr


def test_a_mesh_that_does_not_divide_the_heads_is_refused():
    data = cases.example(cases.Case(9, N=3, M=3, K=16))
    mesh = jax.sharding.AbstractMesh((1, 2), ("data", "model"))
    with (
        jax.sharding.use_abstract_mesh(mesh),
        pytest.raises(ValueError, match=r"key heads, 3, .* 'model', 2"),
    ):
        hrm_kernels.attention(*data.operands, backend="interpret")
