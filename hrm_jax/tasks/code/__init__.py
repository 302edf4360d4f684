"""Code as a task: models that write programs."""
