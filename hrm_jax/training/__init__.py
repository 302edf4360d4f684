"""The training step, its mesh and state, checkpoints, run logs and the loop."""
