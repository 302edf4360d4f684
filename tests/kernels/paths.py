"""The paths of attention that every jax can run here, interpreted where they are kernels."""

from hrm_kernels.choice import FAMILIES

# Mosaic's need jax 0.11 and a process of their own, and have tests of their own: `mosaic_test.py`.
PATHS = [name for family, names in FAMILIES.items() if family != "mosaic" for name in names]
