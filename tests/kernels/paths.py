"""The paths of attention that every jax can run here, interpreted where they are kernels."""

from hrm_kernels.choice import FAMILIES

# Mosaic's need jax 0.11 and a process of their own, Apple's a plugin for Macs; both have tests of
# their own: `mosaic_test.py`, `mps_test.py`.
PATHS = [
    name for family, names in FAMILIES.items() if family not in ("mosaic", "mps") for name in names
]
