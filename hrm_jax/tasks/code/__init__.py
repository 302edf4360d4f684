"""Code as a task: language models that write programs."""
