"""Flags that join several processes into one run; docs/multihost.md says how to start them."""

import jax
from absl import flags

from hrm_jax.core.errors import UserError

_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "one process of several, found by SLURM, Open MPI or the TPU pod"
)
_ADDRESS = flags.DEFINE_string(
    "coordinator_address", None, "one process of several: host:port of process 0, on plain hosts"
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "with an address: how many there are")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "with an address: this one, counted from 0")


class DistributedError(UserError, ValueError):
    """The flags do not say which process of how many this is."""


def join() -> None:
    """Connects this process with the others where flags ask for it.

    Call it before any use of a device.

    Raises:
      DistributedError: the flags do not fit together.
    """
    # All or none: JAX would take what is missing from the environment of a cluster.
    plain = (_ADDRESS.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if all(value is None for value in plain):
        if _DISTRIBUTED.value:
            # Without arguments JAX finds the coordinator in the environment of the cluster.
            jax.distributed.initialize()
        return
    if _DISTRIBUTED.value or None in plain:
        raise DistributedError(
            "expected --distributed alone, or all of --coordinator_address, --num_processes and "
            f"--process_id; got distributed={_DISTRIBUTED.value} and {plain}"
        )
    jax.distributed.initialize(*plain)
