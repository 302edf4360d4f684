"""Proposing plans as a task: solved examples, loss, and the training run."""
