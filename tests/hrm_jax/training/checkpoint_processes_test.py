"""Checkpoints of killed processes, of several devices, and of several processes."""

import random
import re
import signal
import socket
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core import files
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore
from tests import commands


def start(script: str, *arguments: object, devices: int = 1) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return commands.start("-c", script, *arguments, devices=devices, stdout=pipe, stderr=pipe)


SAVE_FOREVER = """
import sys
import numpy as np
from hrm_jax.training.checkpoint import CheckpointStore

store = CheckpointStore(sys.argv[1], keep=2)
step = int(sys.argv[2])
while True:
    step += 1
    store.save(step, {f"leaf{i}": np.full(1000, step + i) for i in range(10)}, {"step": step})
    print(step, flush=True)
"""


def test_sigkill_at_random_moments_leaves_whole_checkpoints(tmp_path):
    target = {f"leaf{i}": np.zeros(1000, np.int64) for i in range(10)}
    seed = random.randrange(2**32)
    delays = random.Random(seed)
    last = 0
    leftovers = 0
    for _ in range(4):
        process = start(SAVE_FOREVER, tmp_path, last)
        assert process.stdout is not None
        acknowledged = int(process.stdout.readline())
        time.sleep(delays.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        acknowledged = int((process.communicate()[0].split() or [acknowledged])[-1])
        assert process.returncode == -signal.SIGKILL

        leftovers += any(path.name.startswith(".") for path in tmp_path.iterdir())
        reader = CheckpointReader(tmp_path)
        damage = [files.find_damage(tmp_path / f"step_{step:08d}") for step in reader.steps()]
        assert set(damage) == {None}, f"seed {seed}"
        restored = reader.latest(target)
        assert restored is not None
        assert restored.step >= acknowledged, f"seed {seed}"
        assert restored.extras == {"step": restored.step}
        for i in range(10):
            np.testing.assert_array_equal(restored.state[f"leaf{i}"], restored.step + i)
        last = restored.step
    assert leftovers, f"no kill hit a save (seed {seed})"
    CheckpointStore(tmp_path, keep=2)
    assert all(path.name.startswith("step_") for path in tmp_path.iterdir())


SHARDED = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from hrm_jax.training.checkpoint import CheckpointReader, CheckpointStore

assert jax.device_count() == 4
square = Mesh(np.array(jax.devices()).reshape(2, 2), ("data", "model"))
line = Mesh(np.array(jax.devices()), ("data",))
values = {
    "w": jnp.arange(64.0).reshape(8, 8),
    "rows": jnp.arange(8, dtype=jnp.bfloat16),
    "keys": jax.random.split(jax.random.key(0), 8),
    "key": jax.random.key(1),
}
specs = {"w": P("data", "model"), "rows": P("model"), "keys": P("data"), "key": P()}
place = lambda mesh, specs: {n: NamedSharding(mesh, specs[n]) for n in specs}
state = jax.device_put(values, place(square, specs))
CheckpointStore(sys.argv[1], keep=1).save(3, state, {})
reader = CheckpointReader(sys.argv[1])

other_specs = {"w": P(None, "data"), "rows": P(), "keys": P("data"), "key": P()}
others = place(line, other_specs)
for shardings in (place(square, specs), others):
    target = {n: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=shardings[n])
              for n, x in values.items()}
    for like in (target, jax.device_put(values, shardings)):
        restored = reader.latest(like).state
        for name, value in values.items():
            assert restored[name].sharding.is_equivalent_to(shardings[name], value.ndim), name
            assert restored[name].dtype == value.dtype
            plain = jax.random.key_data if name.startswith("key") else lambda x: x
            np.testing.assert_array_equal(plain(restored[name]), plain(value))
        assert restored["w"].addressable_shards[0].data.shape == \
            target["w"].sharding.shard_shape((8, 8))
print("same")
"""


def test_shards_come_back_onto_the_targets_shardings(tmp_path):
    process = start(SHARDED, tmp_path, devices=4)
    output, errors = process.communicate(timeout=120)
    assert output == "same\n", errors
    # One device can read what four have written.
    restored = CheckpointReader(tmp_path).latest(
        {
            "w": jnp.zeros((8, 8)),
            "rows": jnp.zeros(8, jnp.bfloat16),
            "keys": jax.random.split(jax.random.key(5), 8),
            "key": jax.random.key(5),
        }
    )
    assert restored is not None
    np.testing.assert_array_equal(restored.state["w"], jnp.arange(64.0).reshape(8, 8))


TWO_PROCESSES = """
import logging, os, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

folder, address, process = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(address, 2, process)
assert (jax.process_count(), jax.device_count()) == (2, 4)
from hrm_jax.training.checkpoint import CheckpointError, CheckpointStore

mesh = Mesh(np.array(jax.devices()), ("data",))
split, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
make = jax.jit(
    lambda n: {"w": jnp.arange(32.0).reshape(8, 4) + n, "key": jax.random.key(n), "n": n},
    out_shardings={"w": split, "key": whole, "n": whole},
)
store = CheckpointStore(folder, keep=2)
for step in (1, 2, 3):
    store.save(step, make(step), {"step": step})
assert store.steps() == [2, 3], store.steps()

target = make(0)


def check(restored, step):
    assert (restored.step, restored.extras) == (step, {"step": step})
    for shard in restored.state["w"].addressable_shards:
        expected = np.arange(32.0).reshape(8, 4)[shard.index] + step
        np.testing.assert_array_equal(shard.data, expected)
    same = jax.jit(lambda a, b: (jax.random.key_data(a) == jax.random.key_data(b)).all())
    assert same(restored.state["key"], make(step)["key"])


check(store.latest(target), 3)
jax.experimental.multihost_utils.sync_global_devices("before damage")
if process == 0:
    os.truncate(os.path.join(folder, "step_00000003", "extras.json"), 3)
jax.experimental.multihost_utils.sync_global_devices("after damage")
check(store.latest(target), 2)
try:
    store.restore(3, target)
except CheckpointError as error:
    print("damaged" if "step_00000003 is damaged" in str(error) else error)
"""


def test_two_processes_write_and_read_one_checkpoint(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [start(TWO_PROCESSES, tmp_path, address, i, devices=2) for i in range(2)]
    outcomes = [process.communicate(timeout=120) for process in processes]
    # Gloo, which carries the collectives, writes to stdout as well.
    assert all(output.splitlines()[-1:] == ["damaged"] for output, _ in outcomes), outcomes
    assert re.search(r"skipping damaged checkpoint .*00003: extras.json: expected", outcomes[0][1])
    assert "skipping" not in outcomes[1][1]
